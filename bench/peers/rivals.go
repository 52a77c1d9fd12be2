package peers

import "github.com/streamerson/streamerson/bench/result"

// The programs that rivals' roles are served by.
const (
	ProgramGo     = "go"
	ProgramNode   = "node"
	ProgramPython = "python"
)

// Rival is a system that rpc is compared with, on one broker or on none.
type Rival struct {
	// Leg says what it is; its name is the rival's.
	Leg result.Leg
	// Program serves its roles Worker and Client.
	Program, Worker, Client string
	// Busy says that it bears 256 calls in flight as well as 64.
	Busy bool
}

// The names of the brokers, as rivals' legs have them; "" is none.
const (
	Redis = "redis"
	NATS  = "nats"
	Kafka = "kafka"
)

const (
	pubSub    = "Redis pub/sub stores nothing: at most once, lost with a connection"
	coreNATS  = "core NATS stores nothing: at most once"
	inStreams = "requests and replies in streams, appendonly everysec (survives kill -9 of the broker)"
	inKafka   = "acks=all, one copy, not synced (survives kill -9 of the broker)"
	base64    = "bodies are base64 in its JSON packets"
)

func rival(name, title, broker, class, durability, tuned string) result.Leg {
	return result.Leg{Name: name, Title: title, Broker: broker, Class: class, Durability: durability, Rival: true, Tuned: tuned}
}

// Rivals are all of them, in the order of tables, but for nginx, which is a server and no program of roles.
var Rivals = []Rival{
	{Leg: rival("grpc", "gRPC, direct", "", result.ClassNone, "", "one channel for all calls, as its performance guide advises; nothing else"),
		Program: ProgramGo, Worker: "grpc-server", Client: "grpc-client", Busy: true},

	{Leg: rival("watermill-redis", "Watermill request-reply on Redis Streams", Redis, result.ClassProcess, inStreams,
		"32 consumers (default 1); a reply stream for each call, read from its beginning and deleted; pool of 1,024; BlockTime 10 ms for replies; "+base64),
		Program: ProgramGo, Worker: "watermill-redis-worker", Client: "watermill-redis-client"},
	{Leg: rival("nest-redis", "NestJS microservice on Redis", Redis, result.ClassNone, pubSub, "nothing; "+base64),
		Program: ProgramNode, Worker: "nest-redis-worker", Client: "nest-redis-client", Busy: true},
	{Leg: rival("moleculer-redis", "Moleculer on Redis", Redis, result.ClassNone, pubSub, "nothing; "+base64),
		Program: ProgramNode, Worker: "moleculer-worker", Client: "moleculer-client", Busy: true},
	{Leg: rival("faststream-redis", "FastStream request() on Redis pub/sub", Redis, result.ClassNone, pubSub, "uvloop and hiredis; max_connections 512 (default 100, at which calls fail)"),
		Program: ProgramPython, Worker: "faststream-redis-worker", Client: "faststream-redis-client"},
	{Leg: rival("faststream-stream", "FastStream request() on a Redis stream", Redis, result.ClassProcess, "requests in a stream, acknowledged once they are handled; replies over pub/sub, which stores nothing",
		"uvloop and hiredis; max_connections 512 (default 100, at which calls fail); max_records 64"),
		Program: ProgramPython, Worker: "faststream-stream-worker", Client: "faststream-stream-client"},

	{Leg: rival("nats-micro", "NATS micro service, nc.Request", NATS, result.ClassNone, coreNATS, "nothing"),
		Program: ProgramGo, Worker: "micro-worker", Client: "micro-client", Busy: true},
	{Leg: rival("watermill-nats", "Watermill request-reply on core NATS", NATS, result.ClassNone, coreNATS, "32 subscribers (default 1); a reply subject for each call; one connection a process; "+base64),
		Program: ProgramGo, Worker: "watermill-nats-worker", Client: "watermill-nats-client"},
	{Leg: rival("watermill-jetstream", "Watermill request-reply on JetStream", NATS, result.ClassProcess, "requests in JetStream files, one replica (survives kill -9 of the broker); replies over core NATS, as rpc's are",
		"32 subscribers of a durable queue group (default 1), asynchronous acks; a reply subject for each call; "+base64),
		Program: ProgramGo, Worker: "watermill-jetstream-worker", Client: "watermill-jetstream-client"},
	{Leg: rival("nest-nats", "NestJS microservice on NATS", NATS, result.ClassNone, coreNATS, "a queue group for workers; "+base64),
		Program: ProgramNode, Worker: "nest-nats-worker", Client: "nest-nats-client", Busy: true},
	{Leg: rival("moleculer-nats", "Moleculer on NATS", NATS, result.ClassNone, coreNATS, "nothing; "+base64),
		Program: ProgramNode, Worker: "moleculer-worker", Client: "moleculer-client", Busy: true},
	{Leg: rival("faststream-nats", "FastStream request() on NATS", NATS, result.ClassNone, coreNATS, "uvloop"),
		Program: ProgramPython, Worker: "faststream-nats-worker", Client: "faststream-nats-client"},

	{Leg: rival("watermill-kafka", "Watermill request-reply on Kafka", Kafka, result.ClassProcess, inKafka,
		"16 partitions for commands, WaitForAll; one reply topic, whose one subscription its FanOut hands on; "+base64),
		Program: ProgramGo, Worker: "watermill-kafka-worker", Client: "watermill-kafka-client"},
	{Leg: rival("nest-kafka", "NestJS microservice on Kafka", Kafka, result.ClassProcess, inKafka, "4 partitions, partitionsConsumedConcurrently 4; topics made first; "+base64),
		Program: ProgramNode, Worker: "nest-kafka-worker", Client: "nest-kafka-client"},
}

// On lists the rivals on a broker, "" for those on none.
func On(broker string) []Rival {
	var out []Rival
	for _, r := range Rivals {
		if r.Leg.Broker == broker {
			out = append(out, r)
		}
	}
	return out
}

// NginxLeg is what the leg of Nginx says of itself.
func NginxLeg() result.Leg {
	return rival("nginx", "nginx → net/http", "", result.ClassNone, "",
		"worker_processes auto; kept connections to net/http (proxy_http_version 1.1, keepalive), as its guide advises; access_log off; keepalive_requests raised, so that none is closed during a run")
}
