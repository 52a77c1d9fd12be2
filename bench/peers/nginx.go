package peers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/streamerson/streamerson/bench/role"
)

// nginxConfig is the whole of it: one server that hands all on to one upstream over kept connections. Its paths are relative to
// the prefix, a folder of the run's own.
//
// worker_processes auto is what Debian's own configuration has; proxy_http_version 1.1 with an empty Connection field and
// "keepalive" are how nginx's documentation of ngx_http_upstream_module says that connections are kept. keepalive_requests
// (1,000 by default) would close each connection many times a second here, on both sides.
var nginxConfig = template.Must(template.New("nginx").Parse(`daemon off;
worker_processes auto;
pid nginx.pid;
error_log stderr error;
events {
	worker_connections 4096;
}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	keepalive_requests 100000000;
	upstream backend {
		server {{.Upstream}};
		keepalive {{.Keep}};
		keepalive_requests 100000000;
	}
	server {
		listen {{.Listen}};
		location / {
			proxy_pass http://backend;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
`))

// nginxKeep is how many idle connections each of nginx's processes keeps: as many as the calls in flight.
const nginxKeep = 256

// nginxFile is nginx's path: Debian has it in a folder that is not in everybody's PATH.
func nginxFile() string {
	if file, err := exec.LookPath("nginx"); err == nil {
		return file
	}
	return "/usr/sbin/nginx"
}

// Nginx is an nginx of the run's own on a free port of loopback, in front of upstream, which is an http URL. Its files are in a
// temporary folder, which its Close removes.
func Nginx(upstream string) (role.Server, error) {
	file := nginxFile()
	if _, err := os.Stat(file); err != nil {
		return role.Server{}, fmt.Errorf("bench: nginx is not installed; run scripts/install-peers.sh: %w", err)
	}
	// The port is free when nginx asks for it, unless another program takes it in between; nginx then says so and ends.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return role.Server{}, err
	}
	listen := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return role.Server{}, err
	}
	dir, err := os.MkdirTemp("", "streamerson-nginx-")
	if err != nil {
		return role.Server{}, err
	}
	conf := filepath.Join(dir, "nginx.conf")
	f, err := os.Create(conf)
	if err == nil {
		err = errors.Join(nginxConfig.Execute(f, map[string]any{
			"Upstream": strings.TrimPrefix(upstream, "http://"), "Keep": nginxKeep, "Listen": listen,
		}), f.Close())
	}
	if err != nil {
		return role.Server{}, errors.Join(err, os.RemoveAll(dir))
	}
	return role.Server{
		File: file, Args: []string{"-p", dir, "-c", conf, "-e", "stderr"}, Dir: dir, Addr: "http://" + listen,
		Close: func() error { return os.RemoveAll(dir) },
	}, nil
}
