package posts

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Comment is what a user says of a post.
type Comment struct {
	ID     int    `json:"id"`
	Post   int    `json:"post"`
	Author User   `json:"author"`
	Text   string `json:"text"`
}

var remarks = [...]string{"Well said.", "I measured this and saw the same.", "What happens when the broker restarts?", "Thank you!", "Source?"}

func newComments(client *http.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /comments", func(w http.ResponseWriter, r *http.Request) {
		post, err := strconv.Atoi(r.URL.Query().Get("post"))
		if err != nil || post < 1 {
			problem(w, http.StatusBadRequest, "give a post's number: /comments?post=7")
			return
		}
		comments := sampleComments(post)
		if len(comments) > 0 {
			if err := nameAuthors(r, client, comments); err != nil {
				upstream(w, err)
				return
			}
		}
		writeJSON(w, http.StatusOK, comments)
	})
	return mux
}

// sampleComments are none to three, the same in every process.
func sampleComments(post int) []Comment {
	comments := make([]Comment, post%4)
	for i := range comments {
		comments[i] = Comment{ID: post*10 + i, Post: post, Author: User{ID: 1 + (post*7+i*13)%userCount}, Text: remarks[(post+i)%len(remarks)]}
	}
	return comments
}

// nameAuthors asks the users service for all authors at once.
func nameAuthors(r *http.Request, client *http.Client, comments []Comment) error {
	ids := make([]string, len(comments))
	for i := range comments {
		ids[i] = strconv.Itoa(comments[i].Author.ID)
	}
	var users []User
	if err := getJSON(r, client, fmt.Sprintf("http://users/users?ids=%s", strings.Join(ids, ",")), &users); err != nil {
		return err
	}
	names := make(map[int]string, len(users))
	for _, u := range users {
		names[u.ID] = u.Name
	}
	for i := range comments {
		comments[i].Author.Name = names[comments[i].Author.ID]
	}
	return nil
}
