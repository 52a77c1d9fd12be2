package posts

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// userCount sample users exist in every process, so that all workers agree: 1 to 50.
const userCount = 50

// User is who writes.
type User struct {
	ID   int    `json:"id"`
	Name string `json:"name,omitempty"`
}

var firstNames = [...]string{"Ada", "Barbara", "Edsger", "Frances", "Grace", "Hedy", "Karen", "Leslie", "Margaret", "Radia"}

func sampleUser(id int) User {
	return User{ID: id, Name: fmt.Sprintf("%s %c.", firstNames[id%len(firstNames)], 'A'+rune(id%26))}
}

func newUsers() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		u, ok := findUser(r.PathValue("id"))
		if !ok {
			problem(w, http.StatusNotFound, "there is no user %q", r.PathValue("id"))
			return
		}
		writeJSON(w, http.StatusOK, u)
	})
	mux.HandleFunc("GET /users", func(w http.ResponseWriter, r *http.Request) {
		users := []User{}
		for id := range strings.SplitSeq(r.URL.Query().Get("ids"), ",") {
			if u, ok := findUser(id); ok {
				users = append(users, u)
			}
		}
		writeJSON(w, http.StatusOK, users)
	})
	return mux
}

func findUser(id string) (User, bool) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > userCount {
		return User{}, false
	}
	return sampleUser(n), true
}
