// Package posts is an example: a posts service with users and comments services beside it, as ordinary net/http handlers.
// They know nothing of streams. http/main_http.go serves them the old way, each on a port of its own; stream/main_stream.go
// serves the same handlers from streams. Nothing else differs.
package posts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Services are the three services.
type Services struct{ Posts, Users, Comments http.Handler }

// New makes the services. They call each other as http://users/… and http://comments/… through client: what those names
// mean is the client's affair, as it is DNS's elsewhere.
func New(client *http.Client, costs Costs) Services {
	return Services{Posts: newPosts(client, costs), Users: newUsers(), Comments: newComments(client)}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone when this fails: nobody is left to tell
}

// problem answers with an error that people can read.
func problem(w http.ResponseWriter, status int, format string, args ...any) {
	writeJSON(w, status, map[string]string{"error": fmt.Sprintf(format, args...)})
}

// statusError is another service's answer that is not a success.
type statusError struct {
	url    string
	status int
}

func (e *statusError) Error() string { return fmt.Sprintf("%s answered %d", e.url, e.status) }

// getJSON asks another service. The request's context carries deadline, identity and trace, whatever the way.
func getJSON(r *http.Request, client *http.Client, url string, into any) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, res.Body) // so that a connection can be used again
		return &statusError{url, res.StatusCode}
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// upstream answers for a service that could not be asked.
func upstream(w http.ResponseWriter, err error) {
	if e, ok := errors.AsType[*statusError](err); ok {
		problem(w, http.StatusBadGateway, "%s", e)
		return
	}
	problem(w, http.StatusServiceUnavailable, "a service that this one needs can't be reached") // err may name addresses
}
