// Reads COUNT records of TOPIC from the beginning and prints each, decoded, as one JSON line.
//
// usage: reader BROKERS REGISTRY_URL TOPIC COUNT
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

type line struct {
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Key       string            `json:"key"`
	Headers   map[string]string `json:"headers"`
	Value     map[string]any    `json:"value"`
}

func main() {
	if err := read(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(brokers, registryURL, topic, count string) error {
	left, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	registry, err := sr.NewClient(sr.URLs(registryURL))
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	schemas := map[int]avro.Schema{}
	out := json.NewEncoder(os.Stdout)
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		for _, record := range fetches.Records() {
			value, err := decode(ctx, registry, schemas, record.Value)
			if err != nil {
				return err
			}
			headers := map[string]string{}
			for _, header := range record.Headers {
				headers[header.Key] = string(header.Value)
			}
			if err := out.Encode(line{record.Partition, record.Offset, string(record.Key), headers, value}); err != nil {
				return err
			}
			if left--; left == 0 {
				break
			}
		}
	}
	return nil
}

// decode reads Confluent's framing: a zero byte, the schema id as four big-endian bytes, the Avro body.
func decode(ctx context.Context, registry *sr.Client, known map[int]avro.Schema, data []byte) (map[string]any, error) {
	if len(data) < 5 || data[0] != 0 {
		return nil, fmt.Errorf("no Confluent frame in %d bytes", len(data))
	}
	id := int(binary.BigEndian.Uint32(data[1:5]))
	schema, ok := known[id]
	if !ok {
		text, err := registry.SchemaByID(ctx, id)
		if err != nil {
			return nil, err
		}
		if schema, err = avro.Parse(text.Schema); err != nil {
			return nil, err
		}
		known[id] = schema
	}
	value := map[string]any{}
	err := avro.Unmarshal(schema, data[5:], &value)
	return value, err
}
