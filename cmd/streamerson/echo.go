package main

import (
	"encoding/json"
	"io"
	"net/http"
	"unicode/utf8"
)

// echoed is what serveEcho answers: the request as the service saw it.
type echoed struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Headers http.Header `json:"headers,omitempty"`
	Body    string      `json:"body,omitempty"`
	Bytes   int         `json:"bytes"`
}

// serveEcho stands in for a service that isn't written yet, so that `streamerson dev` can show what would reach it.
func serveEcho(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e := echoed{Method: r.Method, URL: r.URL.String(), Headers: r.Header, Bytes: len(body)}
	if utf8.Valid(body) {
		e.Body = string(body)
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(e) // into memory: it can't fail
}
