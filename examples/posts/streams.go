package posts

import "net/http"

// ByStream says which stream's requests go to which service. Pictures have a stream of their own, so that a worker can be
// deployed for them alone; the handler is the same.
func (s Services) ByStream() map[string]http.Handler {
	return map[string]http.Handler{"posts": s.Posts, "images": s.Posts, "users": s.Users, "comments": s.Comments}
}
