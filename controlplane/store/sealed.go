package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/model"
)

// SealedColumn is a column of private keys or other secrets. Every column whose name begins with "sealed_" is in
// SealedColumns, and its table has the trigger "sealed" on it.
type SealedColumn struct {
	Table, Key, Column string
	row                func(key string) (string, error)
}

// Row is what a value is bound to, in the row with this key.
func (c SealedColumn) Row(key string) (string, error) { return c.row(key) }

// SealedColumns are all of them.
var SealedColumns = []SealedColumn{
	{"authorities", "kind", "sealed_key", func(kind string) (string, error) { return AuthorityRow(kind), nil }},
	{"certificates", "id", "sealed_key", typed(func(id uuid.UUID) string { return model.CertificateID{UUID: id}.String() })},
	{"issuers", "id", "sealed_eab_key", typed(func(id uuid.UUID) string { return (&model.Issuer{ID: model.IssuerID{UUID: id}}).EABRow() })},
	{"issuers", "id", "sealed_account_key", typed(func(id uuid.UUID) string { return model.IssuerID{UUID: id}.String() })},
	{"issuers", "id", "sealed_pending_key", typed(func(id uuid.UUID) string { return model.IssuerID{UUID: id}.String() })},
	{"orders", "certificate_id", "sealed_key", typed(func(id uuid.UUID) string { return model.CertificateID{UUID: id}.String() })}, // sealed for the row that will be
	{"gossip_keys", "id", "sealed_key", typed(func(id uuid.UUID) string { return model.GossipKeyID{UUID: id}.String() })},
	{"user_totps", "user_id", "sealed_secret", typed(func(id uuid.UUID) string { return model.TOTPRow(model.UserID{UUID: id}) })},
	{"identity_providers", "id", "sealed_client_secret", typed(func(id uuid.UUID) string { return model.IdentityProviderID{UUID: id}.String() })},
	{"webhooks", "id", "sealed_secret", typed(func(id uuid.UUID) string { return model.WebhookID{UUID: id}.String() })},
	{"access_keys", "id", "sealed_key", typed(func(id uuid.UUID) string { return model.AccessKeyID{UUID: id}.String() })},
	{"ticket_keys", "id", "sealed_key", typed(func(id uuid.UUID) string { return model.TicketKeyID{UUID: id}.String() })},
}

// AuthorityRow is what the private key of an authority is bound to.
func AuthorityRow(kind string) string { return "authority/" + kind }

func typed(name func(uuid.UUID) string) func(string) (string, error) {
	return func(key string) (string, error) {
		id, err := uuid.Parse(key)
		if err != nil {
			return "", err
		}
		return name(id), nil
	}
}

// SealedRow is one sealed value.
type SealedRow struct {
	Key    string
	Sealed []byte
}

// LockSealed returns up to limit values that are sealed with another key than this one, and locks their rows.
func (t *Tx) LockSealed(ctx context.Context, c SealedColumn, key uint32, limit int) ([]SealedRow, error) {
	what := "read " + c.Table + "." + c.Column
	rows, err := t.tx.Query(ctx, fmt.Sprintf("SELECT %[1]s::text, %[2]s FROM %[3]s WHERE %[4]s ORDER BY %[1]s LIMIT $2 FOR UPDATE",
		ident(c.Key), ident(c.Column), ident(c.Table), foreign(c)), keyPrefix(key), limit)
	if err != nil {
		return nil, classify(err, what)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SealedRow])
	return out, classify(err, what)
}

// CountSealed counts the values that are sealed with another key than this one.
func (t *Tx) CountSealed(ctx context.Context, c SealedColumn, key uint32) (n int, err error) {
	err = t.tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s", ident(c.Table), foreign(c)), keyPrefix(key)).Scan(&n)
	return n, classify(err, "count "+c.Table+"."+c.Column)
}

// UpdateSealed replaces a value.
func (t *Tx) UpdateSealed(ctx context.Context, c SealedColumn, r SealedRow) error {
	what := "update " + c.Table + "." + c.Column
	tag, err := t.tx.Exec(ctx, fmt.Sprintf("UPDATE %s SET %s = $2 WHERE %s::text = $1", ident(c.Table), ident(c.Column), ident(c.Key)), r.Key, r.Sealed)
	return affected(tag.RowsAffected(), err, what)
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// foreign is true of values that are not sealed with the key $1, and of no others.
func foreign(c SealedColumn) string {
	return fmt.Sprintf("%[1]s IS NOT NULL AND substring(%[1]s FROM 2 FOR 4) <> $1", ident(c.Column))
}

func keyPrefix(id uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, id)
}
