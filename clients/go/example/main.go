// Submits a job, follows it, and receives its callback: go run ./example [message]
// Needs SLUICE_GATEWAY_URL, and SLUICE_CALLBACK_SECRETS of the installation. Prints what happened as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"sluice.example/sluice"
)

type callback struct {
	Type string `json:"type"`
	Data struct {
		JobID string `json:"job_id"`
	} `json:"data"`
}

// receive serves callbacks on a free port; each delivery is sent once, however often it comes.
func receive(received chan<- callback) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	secrets := strings.Split(os.Getenv("SLUICE_CALLBACK_SECRETS"), ",")
	var seen sync.Map // in a backend: a row, in the transaction that stores the result
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
		var event callback
		if err != nil || sluice.Verify(r.Header, body, secrets) != nil || json.Unmarshal(body, &event) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if _, repeated := seen.LoadOrStore(r.Header.Get("webhook-id"), true); !repeated {
			received <- event
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	return "http://" + listener.Addr().String() + "/done"
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	message := "hello"
	if len(os.Args) > 1 {
		message = os.Args[1]
	}
	received := make(chan callback, 1)
	client := sluice.FromEnvironment()
	key := fmt.Sprintf("example-%d-%d", os.Getpid(), time.Now().UnixNano())
	input := map[string]any{"message": message}
	options := map[string]any{"callback_url": receive(received)}
	job, err := client.Submit(ctx, "echo", input, key, options)
	check(err)
	again, err := client.Submit(ctx, "echo", input, key, options) // the same key: the same job
	check(err)

	var events []string
	check(client.Events(ctx, job.JobID, "", func(event sluice.Event) error {
		events = append(events, event.Name)
		return nil
	}))
	ended, err := client.Wait(ctx, job.JobID)
	check(err)
	result, err := client.Result(ctx, job.JobID)
	check(err)
	var event callback
	select {
	case event = <-received:
	case <-ctx.Done():
		check(ctx.Err())
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"job_id":   job.JobID,
		"one_job":  job.JobID == again.JobID,
		"state":    ended.State,
		"output":   result.Output,
		"events":   events,
		"callback": map[string]string{"type": event.Type, "job_id": event.Data.JobID},
	}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
