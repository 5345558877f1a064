package snapshot

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/resource"
)

var update = flag.Bool("update", false, "write what the compiler gives into testdata")

// TestGolden runs testdata/*.txtar. Each archive is a sequence of steps: a file whose name starts with
// "rows" holds the rows that change (modeltest.Parse), the file "resources" after it what the step does
// to the resources. The ids of rows are written as <kind name>.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out := &txtar.Archive{Comment: ar.Comment}
			c := New(modeltest.Open)
			var prev *model.Model
			for _, f := range ar.Files {
				if !strings.HasPrefix(f.Name, "rows") {
					continue
				}
				b, next := step(t, prev, string(f.Data))
				got := text(c.Build(prev, next, b), words(string(f.Data)))
				out.Files = append(out.Files, f, txtar.File{Name: "resources" + strings.TrimPrefix(f.Name, "rows"), Data: []byte(got)})
				prev = next
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(ar)), string(txtar.Format(out))); diff != "" {
				t.Errorf("-want +got (-update writes it):\n%s", diff)
			}
		})
	}
}

func step(t *testing.T, prev *model.Model, rows string) (model.Batch, *model.Model) {
	t.Helper()
	if prev == nil {
		prev = model.Empty()
	}
	b, err := modeltest.Parse(prev.Revision(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return b, prev.Apply(b)
}

// text is the form of Changes in golden files.
func text(ch Changes, known map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "revision %d", ch.Revision)
	if ch.Full {
		b.WriteString(" full")
	}
	b.WriteString("\n")
	for _, r := range ch.Upserts {
		fmt.Fprintf(&b, "upsert %s %s\n  scopes %s\n", resource.ShortType(r.TypeURL), r.Name, strings.Join(r.Scopes, " "))
		msg, err := r.Any.UnmarshalNew()
		if err != nil {
			fmt.Fprintf(&b, "  %v\n", err)
			continue
		}
		raw, err := protojson.Marshal(msg)
		if err != nil {
			fmt.Fprintf(&b, "  %v\n", err)
			continue
		}
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, raw, "  ", "  "); err != nil {
			fmt.Fprintf(&b, "  %v\n", err)
			continue
		}
		fmt.Fprintf(&b, "  %s\n", pretty.String())
	}
	for _, r := range ch.Removed {
		fmt.Fprintf(&b, "remove %s %s\n", resource.ShortType(r.TypeURL), r.Name)
	}
	for _, p := range ch.Problems {
		fmt.Fprintf(&b, "problem %s %s: %v\n", resource.ShortType(p.Ref.TypeURL), p.Ref.Name, p.Err)
	}
	for _, r := range ch.Solved {
		fmt.Fprintf(&b, "solved %s %s\n", resource.ShortType(r.TypeURL), r.Name)
	}
	return typedID.ReplaceAllStringFunc(b.String(), func(id string) string {
		if name, ok := known[id]; ok {
			return name
		}
		return id
	})
}

var typedID = regexp.MustCompile(`[a-z]+_[0-9a-hjkmnp-tv-z]{26}`)

// seen are the ids of all words of golden files by kind, so that goldens can be read.
var seen = map[string]string{}

// words adds the ids of everything that a rows file names.
func words(rows string) map[string]string {
	for _, w := range strings.FieldsFunc(rows, func(r rune) bool { return strings.ContainsRune(" \n\t=,", r) }) {
		for kind, id := range map[string]string{
			"organization": model.OrgID{UUID: modeltest.UUID("organization", w)}.String(),
			"region":       model.RegionID{UUID: modeltest.UUID("region", w)}.String(),
			"pool":         model.PoolID{UUID: modeltest.UUID("pool", w)}.String(),
			"node":         model.NodeID{UUID: modeltest.UUID("node", w)}.String(),
			"site":         model.SiteID{UUID: modeltest.UUID("site", w)}.String(),
			"connector":    model.ConnectorID{UUID: modeltest.UUID("connector", w)}.String(),
			"service":      model.ServiceID{UUID: modeltest.UUID("service", w)}.String(),
			"target":       model.TargetID{UUID: modeltest.UUID("target", w)}.String(),
			"domain":       model.DomainID{UUID: modeltest.UUID("domain", w)}.String(),
			"certificate":  model.CertificateID{UUID: modeltest.UUID("certificate", w)}.String(),
			"accesskey":    model.AccessKeyID{UUID: modeltest.UUID("accesskey", w)}.String(),
			"revocation":   model.RevocationID{UUID: modeltest.UUID("revocation", w)}.String(),
			"ticketkey":    model.TicketKeyID{UUID: modeltest.UUID("ticketkey", w)}.String(),
			"challenge":    model.ChallengeID{UUID: modeltest.UUID("challenge", w)}.String(),
			"policy":       model.PolicyID{UUID: modeltest.UUID("policy", w)}.String(),
			"gossipkey":    model.GossipKeyID{UUID: modeltest.UUID("gossipkey", w)}.String(),
		} {
			seen[id] = "<" + kind + " " + w + ">"
		}
	}
	return seen
}

// everyType has a resource of every type.
const everyType = `
	organization acme brand=Acme accent=#0a5fd7 rate=500
	region eu
	pool edge
	authority identity pem=identity-pem
	node n1 pool=edge region=eu addresses=192.0.2.1,2001:db8::1 endpoint=192.0.2.1:51820 enrolled
	node n2 pool=edge addresses=192.0.2.2 endpoint=[2001:db8::2]:51820 enrolled draining
	site home organization=acme pool=edge tunnels=2
	connector c1 organization=acme site=home enrolled
	domain example.org organization=acme pool=edge
	service web organization=acme pool=edge hostname=www.example.org
	service raw organization=acme pool=edge hostname=raw.example.org kind=tls
	target t1 organization=acme service=web site=home address=10.0.0.1 port=8080 weight=3
	target t2 organization=acme service=web site=home address=app.internal port=80 path=/api
	target t3 organization=acme service=raw site=home address=2001:db8::80 port=443
	certificate www organization=acme names=www.example.org
	gossipkey k1 state=seals
	revocation r1 session=s1
	challenge c1 organization=acme order=o1 type=dns-01 for=example.org value=c1
	challenge c2 organization=acme order=o1 type=http-01 for=www.example.org value=c2.thumbprint token=c2
	challenge c3 organization=acme order=o1 type=tls-alpn-01 for=www.example.org value=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8
	service db organization=acme pool=edge kind=tcp ports=5432-5433 allow=192.0.2.0/24 proxy=2
	target t4 organization=acme service=db site=home address=10.0.0.2 port=5432 check=http
	policy staff organization=acme networks=192.0.2.0/24 links=l1
	service wiki organization=acme pool=edge hostname=wiki.example.org policy=staff kind=tls
	service mail organization=acme pool=edge kind=tcp ports=25 policy=staff
`

// TestEpoch holds the bytes of the encoder: if it fails, the same rows give other bytes than in released
// programs. Then raise Epoch, and run it with -update.
func TestEpoch(t *testing.T) {
	b, m := step(t, nil, everyType)
	ch := New(modeltest.Open).Build(nil, m, b)
	if len(ch.Problems) > 0 {
		t.Fatalf("problems: %v", ch.Problems)
	}
	var types []string
	var got strings.Builder
	fmt.Fprintf(&got, "epoch %d\n", Epoch)
	for _, r := range ch.Upserts {
		types = append(types, r.TypeURL)
		fmt.Fprintf(&got, "%s %s %s\n", r.Name, r.Version, hex.EncodeToString(r.Any.Value))
	}
	if types = slices.Compact(types); len(types) != len(builders) {
		t.Errorf("types %v, want all %d", types, len(builders))
	}
	const file = "testdata/epoch.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the encoding changed, raise Epoch; -want +got:\n%s", diff)
	}
}
