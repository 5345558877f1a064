package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/warrenedge/warren/controlplane/yamltext"
)

// formats are what -o knows. Commands that print lines as they come take fewer.
var formats = []string{"table", "wide", "json", "yaml", "name"}

// print writes a value as JSON or YAML.
func (a *app) print(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	switch a.output {
	case "json":
		_, err = fmt.Fprintf(a.out, "%s\n", b)
	case "yaml":
		if b, err = yamltext.FromJSON(b); err == nil {
			_, err = a.out.Write(b)
		}
	default:
		err = usagef("-o %s: there is table, wide, json, yaml and name", a.output)
	}
	return err
}

// structured reports whether the output is for programs.
func (a *app) structured() bool { return a.output == "json" || a.output == "yaml" }

// table writes rows under headings, in columns.
func (a *app) table(headings []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for i, h := range headings {
		headings[i] = strings.ToUpper(strings.ReplaceAll(h, "_", " "))
	}
	fmt.Fprintln(w, strings.Join(headings, "\t"))
	for _, r := range rows {
		for i, cell := range r {
			if cell == "" {
				r[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

// objects writes objects of a kind in the wanted format; one alone is not a list.
func (a *app) objects(k *kind, items []json.RawMessage, alone bool) error {
	if a.structured() {
		if alone {
			return a.print(items[0])
		}
		return a.print(items)
	}
	columns := append([]string{"name"}, k.columns...)
	switch a.output {
	case "name":
		columns = columns[:1]
	case "wide":
		columns = append(append(columns, k.wide...), "labels", "managed_by", "id", "created_at")
	case "table":
	default:
		return a.print(nil)
	}
	var rows [][]string
	for _, raw := range items {
		o, err := decoded(raw)
		if err != nil {
			return err
		}
		var row []string
		for _, c := range columns {
			if c == "labels" {
				row = append(row, labelCell(o[c]))
				continue
			}
			row = append(row, cell(o[c]))
		}
		rows = append(rows, row)
	}
	if a.output == "name" {
		for _, r := range rows {
			fmt.Fprintln(a.out, r[0])
		}
		return nil
	}
	if len(rows) == 0 {
		a.say("no %s", k.plural)
		return nil
	}
	if !slices.ContainsFunc(rows, func(r []string) bool { return r[0] != "" }) { // entries of a log have no names
		columns = columns[1:]
		for i := range rows {
			rows[i] = rows[i][1:]
		}
	}
	return a.table(columns, rows)
}

// one writes an object of a kind.
func (a *app) one(kindName string, o any) error {
	k, err := exactKind(kindName)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return a.objects(k, []json.RawMessage{raw}, true)
}

// rawItems are the objects of a list of any type.
func rawItems(list any) (items []json.RawMessage, err error) {
	b, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	return items, json.Unmarshal(b, &items)
}

// decoded is an object as maps and lists; what has no name is called by its id.
func decoded(raw json.RawMessage) (o map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&o); err != nil {
		return nil, err
	}
	if o["name"] == nil {
		o["name"] = o["id"]
	}
	return o, nil
}

// labelCell shows labels as selectors are written.
func labelCell(v any) string {
	labels, _ := v.(map[string]any)
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+cell(labels[k]))
	}
	return strings.Join(parts, ",")
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case map[string]any: // what something is, and why
		state, reason := cell(v["state"]), cell(v["reason"])
		if reason != "" {
			state += ": " + reason
		}
		return state
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, cell(e))
		}
		return strings.Join(parts, ",")
	default:
		return fmt.Sprint(v)
	}
}

// seconds shows a duration as people say it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
