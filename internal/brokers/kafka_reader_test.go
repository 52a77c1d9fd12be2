package brokers

import "testing"

func TestKafkaReaderNeverReadsPastTheEnd(t *testing.T) {
	r := &kafkaReader{b: []byte{0, 5, 'a'}}
	r.text()
	if r.err == nil || r.int32() != 0 {
		t.Errorf("after the end: %v", r.err)
	}
}
