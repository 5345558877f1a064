package store

import (
	"encoding/json"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// deliveryRow is a delivery as its column has it. Fields are only added; one that is not there is zero.
type deliveryRow struct {
	Host     string    `json:"host,omitempty"`
	Request  fieldsRow `json:"request"`
	Response fieldsRow `json:"response"`
}

type fieldsRow struct {
	Remove []string   `json:"remove,omitempty"`
	Set    []fieldRow `json:"set,omitempty"`
}

type fieldRow struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type maintenanceRow struct {
	Always  bool   `json:"always,omitempty"`
	Title   string `json:"title,omitempty"`
	Message string `json:"message,omitempty"`
}

func fieldsDocument(f model.Fields) (out fieldsRow) {
	out.Remove = f.Remove
	for _, s := range f.Set {
		out.Set = append(out.Set, fieldRow(s))
	}
	return out
}

// deliveryDocuments are what a service says of the way of its requests, as they are stored; nil: nothing.
func deliveryDocuments(s *model.Service) (delivery, maintenance []byte, err error) {
	if d := s.Delivery; d != nil {
		if delivery, err = json.Marshal(deliveryRow{Host: d.Host, Request: fieldsDocument(d.Request), Response: fieldsDocument(d.Response)}); err != nil {
			return nil, nil, &fault.Error{Kind: fault.Internal, Msg: "delivery", Err: err}
		}
	}
	if m := s.Maintenance; m != nil {
		if maintenance, err = json.Marshal(maintenanceRow(*m)); err != nil {
			return nil, nil, &fault.Error{Kind: fault.Internal, Msg: "maintenance", Err: err}
		}
	}
	return delivery, maintenance, nil
}

// delivery reads a stored delivery. What was written by hand and makes no sense counts as none: it must not stop the feed.
func delivery(b []byte) *model.Delivery {
	var r deliveryRow
	if b == nil || json.Unmarshal(b, &r) != nil {
		return nil
	}
	d := &model.Delivery{Host: strings.ToLower(r.Host)}
	var errs [2]error
	d.Request, errs[0] = readFields(r.Request)
	d.Response, errs[1] = readFields(r.Response)
	if errs[0] != nil || errs[1] != nil || d.Validate() != nil {
		return nil
	}
	return d
}

func readFields(r fieldsRow) (model.Fields, error) {
	var set []model.Field
	for _, s := range r.Set {
		set = append(set, model.Field(s))
	}
	return model.NewFields("", r.Remove, set)
}

func maintenance(b []byte) *model.Maintenance {
	var r maintenanceRow
	if b == nil || json.Unmarshal(b, &r) != nil {
		return nil
	}
	m := model.Maintenance(r)
	if m.Validate() != nil {
		return nil
	}
	return &m
}
