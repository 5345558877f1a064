package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"
)

//go:embed assets
var assets embed.FS

// htmxConfig turns off what the pages' content security policy refuses, and all extensions but the one for streams. An answer that
// is an error takes no part of a page away.
const htmxConfig = `{"includeIndicatorCSS":false,"extensions":"sse","noSwap":[204,304,"4xx","5xx"]}`

// versions are the first digits of the assets' hashes: what has changed has another address.
var versions = func() map[string]string {
	out := map[string]string{}
	entries, err := assets.ReadDir("assets")
	if err != nil {
		panic(err) // it is in the program
	}
	for _, e := range entries {
		b, err := assets.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(b)
		out[e.Name()] = hex.EncodeToString(sum[:6])
	}
	return out
}()

// asset is the address of a file of ours.
func asset(name string) string { return Root + "/assets/" + name + "?v=" + versions[name] }

// serveAsset lets browsers keep what they asked for by its version.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	v, ok := versions[name]
	if !ok || !strings.Contains(name, ".") {
		http.NotFound(w, r)
		return
	}
	if r.URL.Query().Get("v") == v {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeFileFS(w, r, assets, "assets/"+name)
}
