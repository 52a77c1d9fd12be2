package posts

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	// sampleCount sample posts exist in every process, so that all workers agree: 1 to 100. New ones follow, and are known
	// only to the process that took them: a real service has a database.
	sampleCount = 100
	// listed is how many posts GET /posts answers with.
	listed = 20
	// maxCreated bounds the memory that new posts take.
	maxCreated = 10_000
	// maxPost is the largest POST /posts body, in bytes.
	maxPost = 64 << 10
)

// Post is an article.
type Post struct {
	ID     int    `json:"id"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	Author User   `json:"author"`
	// Rank is what GET's CPU work finds.
	Rank     uint64    `json:"rank,omitempty"`
	Comments []Comment `json:"comments,omitempty"`
}

var topics = [...]string{"queues", "deadlines", "leases", "back-pressure", "tail latency", "idempotency"}

func samplePost(id int) Post {
	topic := topics[id%len(topics)]
	return Post{
		ID: id, Title: fmt.Sprintf("On %s, part %d", topic, 1+id/len(topics)),
		Body: fmt.Sprintf("What %d years with %s taught us.", 1+id%30, topic), Author: User{ID: 1 + id*3%userCount},
	}
}

type postsService struct {
	client *http.Client
	costs  Costs

	mu      sync.Mutex
	created []Post
}

func newPosts(client *http.Client, costs Costs) http.Handler {
	s := &postsService{client: client, costs: costs}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /posts/image", s.image)
	mux.HandleFunc("GET /posts/{id}", s.get)
	mux.HandleFunc("GET /posts", s.list)
	mux.HandleFunc("POST /posts", s.create)
	return mux
}

// get asks users and comments at the same time, and comments asks users again.
func (s *postsService) get(w http.ResponseWriter, r *http.Request) {
	post, ok := s.find(r.PathValue("id"))
	if !ok {
		problem(w, http.StatusNotFound, "there is no post %q", r.PathValue("id"))
		return
	}
	rank, err := burn(r.Context(), s.costs.Get, uint64(post.ID))
	if err != nil {
		return // the client has gone
	}
	post.Rank = rank % 1000
	group, ctx := errgroup.WithContext(r.Context())
	nested := r.WithContext(ctx)
	group.Go(func() error {
		return getJSON(nested, s.client, fmt.Sprintf("http://users/users/%d", post.Author.ID), &post.Author)
	})
	group.Go(func() error {
		return getJSON(nested, s.client, fmt.Sprintf("http://comments/comments?post=%d", post.ID), &post.Comments)
	})
	if err := group.Wait(); err != nil {
		upstream(w, err)
		return
	}
	w.Header().Set("Cache-Control", "max-age=60")
	writeJSON(w, http.StatusOK, post)
}

func (s *postsService) find(id string) (Post, bool) {
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 {
		return Post{}, false
	}
	if n <= sampleCount {
		return samplePost(n), true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n -= sampleCount + 1; n < len(s.created) {
		return s.created[n], true
	}
	return Post{}, false
}

func (s *postsService) list(w http.ResponseWriter, r *http.Request) {
	list := make([]Post, listed)
	for i := range list {
		list[i] = samplePost(i + 1)
	}
	if _, err := burn(r.Context(), s.costs.List, listed); err != nil {
		return // the client has gone
	}
	writeJSON(w, http.StatusOK, list)
}

func (s *postsService) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Title  string `json:"title"`
		Body   string `json:"body"`
		Author int    `json:"author"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPost))
	if err := dec.Decode(&in); err != nil {
		status := http.StatusBadRequest
		if _, big := errors.AsType[*http.MaxBytesError](err); big {
			status = http.StatusRequestEntityTooLarge
		}
		problem(w, status, "the post can't be read: %v", err)
		return
	}
	if in.Title == "" {
		problem(w, http.StatusUnprocessableEntity, "the post has no title")
		return
	}
	post := Post{Title: in.Title, Body: in.Body}
	err := getJSON(r, s.client, fmt.Sprintf("http://users/users/%d", in.Author), &post.Author)
	if e, ok := errors.AsType[*statusError](err); ok && e.status == http.StatusNotFound {
		problem(w, http.StatusUnprocessableEntity, "there is no user %d", in.Author)
		return
	}
	if err != nil {
		upstream(w, err)
		return
	}
	if !s.store(&post) {
		problem(w, http.StatusInsufficientStorage, "this example holds at most %d new posts", maxCreated)
		return
	}
	w.Header().Set("Location", fmt.Sprintf("/posts/%d", post.ID))
	writeJSON(w, http.StatusCreated, post)
}

func (s *postsService) store(p *Post) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.created) == maxCreated {
		return false
	}
	p.ID = sampleCount + 1 + len(s.created)
	s.created = append(s.created, *p)
	return true
}
