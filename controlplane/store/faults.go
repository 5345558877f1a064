package store

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warrenedge/warren/controlplane/fault"
)

// SQLSTATE codes (PostgreSQL documentation, appendix A).
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	checkViolation      = "23514"
	notNullViolation    = "23502"
	serializationFailed = "40001"
	deadlockDetected    = "40P01"
	invalidText         = "22P02"
	valueTooLong        = "22001"
)

// fields names the field of the API behind a constraint; others are called by their last part.
var fields = map[string]string{
	"services_hostname":         "hostname",
	"nodes_wireguard_key":       "wireguard_public_key",
	"connectors_wireguard_key":  "wireguard_public_key",
	"services_organization":     "organization",
	"sites_organization":        "organization",
	"domains_organization":      "organization",
	"api_keys_organization":     "organization",
	"certificates_organization": "organization",
}

func field(constraint string) string {
	if f, ok := fields[constraint]; ok {
		return f
	}
	return constraint[strings.LastIndex(constraint, "_")+1:]
}

func retryable(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pe.Code == serializationFailed || pe.Code == deadlockDetected)
}

// classify makes a fault of a database error. what names operation and object.
func classify(err error, what string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.New(fault.NotFound, "%s: not found", what)
	}
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return &fault.Error{Kind: fault.Unavailable, Msg: what + ": the database does not answer", Err: err}
	}
	switch pe.Code {
	case uniqueViolation:
		return &fault.Error{Kind: fault.Conflict, Field: field(pe.ConstraintName), Msg: "already taken", Err: err}
	case foreignKeyViolation:
		if strings.HasPrefix(pe.Message, "update or delete") {
			return &fault.Error{Kind: fault.Conflict, Msg: "still used by " + pe.TableName, Err: err}
		}
		return &fault.Error{Kind: fault.Invalid, Field: field(pe.ConstraintName), Msg: "does not exist", Err: err}
	case checkViolation:
		return &fault.Error{Kind: fault.Invalid, Field: checked(pe), Msg: "not allowed", Err: err}
	case notNullViolation:
		return &fault.Error{Kind: fault.Invalid, Field: pe.ColumnName, Msg: "missing", Err: err}
	case invalidText, valueTooLong:
		return &fault.Error{Kind: fault.Invalid, Msg: "malformed value", Err: err}
	}
	switch pe.Code[:2] {
	case "08", "53", "57": // connection, resources, operator intervention
		return &fault.Error{Kind: fault.Unavailable, Msg: what + ": the database is not available", Err: err}
	case "25": // read-only after a failover
		return &fault.Error{Kind: fault.Unavailable, Msg: what + ": the database is read-only", Err: err}
	}
	return &fault.Error{Kind: fault.Internal, Msg: what, Err: err}
}

// checked guesses the column of a CHECK constraint: "targets_port_check" is about port; a domain's check is
// about the name.
func checked(pe *pgconn.PgError) string {
	if pe.DataTypeName != "" {
		return pe.DataTypeName
	}
	s := strings.TrimSuffix(strings.TrimPrefix(pe.ConstraintName, pe.TableName+"_"), "_check")
	return s
}

// affected turns the row count of an update or delete into a fault.
func affected(n int64, err error, what string) error {
	if err != nil {
		return classify(err, what)
	}
	if n == 0 {
		return fault.New(fault.NotFound, "%s: not found", what)
	}
	return nil
}
