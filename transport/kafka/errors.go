package kafka

import (
	"context"
	"errors"
	"net"
	"os"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/streamerson/streamerson/transport"
)

// brokerCode maps an error code of the protocol.
func brokerCode(e kafkago.Error) transport.Code {
	switch e {
	case kafkago.UnknownTopicOrPartition, kafkago.GroupIdNotFound, kafkago.UnknownTopicID:
		return transport.CodeNotFound
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge:
		return transport.CodeTooLarge
	case kafkago.SASLAuthenticationFailed, kafkago.IllegalSASLState, kafkago.UnsupportedSASLMechanism:
		return transport.CodeUnauthenticated
	case kafkago.TopicAuthorizationFailed, kafkago.GroupAuthorizationFailed, kafkago.ClusterAuthorizationFailed, kafkago.TransactionalIDAuthorizationFailed:
		return transport.CodeDenied
	case kafkago.InvalidTopic, kafkago.InvalidConfiguration, kafkago.InvalidPartitionNumber, kafkago.InvalidReplicationFactor, kafkago.PolicyViolation, kafkago.InvalidSessionTimeout:
		return transport.CodeInvalid
	case kafkago.RequestTimedOut:
		return transport.CodeTimeout
	case kafkago.UnsupportedVersion:
		return transport.CodeUnsupported
	case kafkago.UnknownMemberId, kafkago.IllegalGeneration:
		return transport.CodeStale
	case kafkago.LeaderNotAvailable, kafkago.NotLeaderForPartition, kafkago.BrokerNotAvailable, kafkago.ReplicaNotAvailable, kafkago.GroupLoadInProgress,
		kafkago.GroupCoordinatorNotAvailable, kafkago.NotCoordinatorForGroup, kafkago.NotEnoughReplicas, kafkago.NotEnoughReplicasAfterAppend,
		kafkago.RebalanceInProgress, kafkago.KafkaStorageError, kafkago.NotController, kafkago.FencedLeaderEpoch, kafkago.UnknownLeaderEpoch,
		kafkago.ListenerNotFound, kafkago.ThrottlingQuotaExceeded:
		return transport.CodeUnavailable
	}
	return transport.CodeInternal
}

// kafkaError is nil for code 0.
func kafkaError(code int16) error {
	if code == 0 {
		return nil
	}
	return kafkago.Error(code)
}

// isKafka reports whether err holds one of the protocol's codes.
func isKafka(err error, codes ...kafkago.Error) bool {
	e, ok := errors.AsType[kafkago.Error](err)
	if !ok {
		return false
	}
	for _, c := range codes {
		if e == c {
			return true
		}
	}
	return false
}

// codeOf classifies any error of this package and of the client library.
func codeOf(err error) transport.Code {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[kafkago.Error](err); ok {
		return brokerCode(e)
	}
	if errors.Is(err, context.Canceled) {
		return transport.CodeCanceled
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return transport.CodeTimeout
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return transport.CodeTimeout
	}
	return transport.CodeUnavailable
}

func fail(op, stream string, err error) *transport.Error {
	return &transport.Error{Code: codeOf(err), Op: op, Stream: stream, Err: err}
}

func failMsg(code transport.Code, op, stream, msg string) *transport.Error {
	return &transport.Error{Code: code, Op: op, Stream: stream, Msg: msg}
}

// nameMsg is what CheckName said, without its own prefix.
func nameMsg(err error) string {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.Msg
	}
	return err.Error()
}
