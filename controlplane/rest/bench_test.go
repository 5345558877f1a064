package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// BenchmarkManifests applies a folder of a thousand objects, again, and after a change of one, and prints a JSON line.
func BenchmarkManifests(b *testing.B) {
	const sites, services = 100, 450
	docs := []Manifest{}
	add := func(kind, name string, spec map[string]any) {
		docs = append(docs, Manifest{Kind: kind, Metadata: ManifestMeta{Name: name, Labels: map[string]string{"env": "bench"}}, Spec: spec})
	}
	for i := range sites {
		add("Site", fmt.Sprint("s", i), map[string]any{"pool": "default"})
	}
	for i := range services {
		add("Service", fmt.Sprint("w", i), map[string]any{"kind": "http", "pool": "default", "hostname": fmt.Sprintf("w%d.bench.example", i)})
		add("Target", fmt.Sprint("w", i), map[string]any{"service": fmt.Sprint("w", i), "site": fmt.Sprint("s", i%sites), "address": "10.0.0.1", "port": 80})
	}
	for b.Loop() {
		w := newWorld(b)
		w.must(201, http.MethodPost, "/api/v1/orgs/default/domains", `{"name":"bench.example","pool":"default"}`)
		apply := func(query string) float64 {
			body, err := json.Marshal(map[string]any{"documents": docs})
			if err != nil {
				b.Fatal(err)
			}
			begin := time.Now()
			w.must(200, http.MethodPost, applyAt+query, string(body))
			return time.Since(begin).Seconds()
		}
		first, again := apply(""), apply("")
		docs[0].Spec["tunnels"] = 2
		dry, one := apply("?dry_run=true"), apply("")
		delete(docs[0].Spec, "tunnels")
		line, _ := json.Marshal(map[string]any{"bench": "apply", "objects": len(docs), "first_s": first, "again_s": again, "dry_run_s": dry, "one_changed_s": one, "wanted_s": 5})
		fmt.Println(string(line))
	}
}
