package sluice

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// gateway serves each request by its number, from 1.
func gateway(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, number int)) *Client {
	number := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number++
		handle(w, r, number)
	}))
	t.Cleanup(server.Close)
	return &Client{server.URL, "slt_x", server.Client()}
}

func breakConnection(w http.ResponseWriter) {
	connection, _, _ := w.(http.Hijacker).Hijack()
	connection.Close()
}

func TestASubmitWhoseConnectionBreaksIsSentAgainWithTheSameKey(t *testing.T) {
	keys := map[string]int{}
	client := gateway(t, func(w http.ResponseWriter, r *http.Request, number int) {
		keys[r.Header.Get("Idempotency-Key")]++
		if number < 3 {
			breakConnection(w)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"job_id": "j1"}`)
	})
	job, err := client.Submit(context.Background(), "echo", map[string]string{"message": "hi"}, "", nil)
	if err != nil || job.JobID != "j1" || len(keys) != 1 {
		t.Fatal(job, err, keys)
	}
}

func TestARefusalHasItsCodeAndIsNotSentAgain(t *testing.T) {
	requests := 0
	client := gateway(t, func(w http.ResponseWriter, r *http.Request, number int) {
		requests = number
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"code": "UNKNOWN_PROCESSOR", "detail": "There is no ecko.", "next_step": "Did you mean echo?"}`)
	})
	_, err := client.Submit(context.Background(), "ecko", nil, "", nil)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Code != "UNKNOWN_PROCESSOR" || !strings.Contains(err.Error(), "echo") || requests != 1 {
		t.Fatal(err, requests)
	}
}

func TestEventsGoOnAfterTheLastWholeEvent(t *testing.T) {
	client := gateway(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		after, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
		name := "progress"
		if after == 3 {
			name = "outcome"
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, ": hi\nid: %d\nevent: %s\ndata: {\ndata: }\n\nid: %d\nda", after+1, name, after+2)
		w.(http.Flusher).Flush()
		breakConnection(w)
	})
	var seen []string
	err := client.Events(context.Background(), "j1", "", func(event Event) error {
		seen = append(seen, event.ID+event.Name)
		return nil
	})
	if err != nil || fmt.Sprint(seen) != "[1progress 2progress 3progress 4outcome]" {
		t.Fatal(seen, err)
	}
}

func TestACallbackIsVerifiedByAnyOfTheSecrets(t *testing.T) {
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a", 25)))
	other := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("b", 24)))
	body := []byte(`{"type":"job.completed"}`)
	signed := func(at time.Duration) http.Header {
		timestamp := strconv.FormatInt(time.Now().Add(at).Unix(), 10)
		mac := hmac.New(sha256.New, []byte(strings.Repeat("a", 25)))
		fmt.Fprintf(mac, "msg_1.%s.%s", timestamp, body)
		header := http.Header{}
		header.Set("webhook-id", "msg_1")
		header.Set("webhook-timestamp", timestamp)
		header.Set("webhook-signature", "v1,AAAA v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		return header
	}
	if err := Verify(signed(0), body, []string{other, secret}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"another secret": Verify(signed(0), body, []string{other}),
		"another body":   Verify(signed(0), []byte("{}"), []string{secret}),
		"too old":        Verify(signed(-400*time.Second), body, []string{secret}),
		"no signature":   Verify(http.Header{}, body, []string{secret}),
		"no secret":      Verify(signed(0), body, []string{""}),
	} {
		if err == nil {
			t.Error("accepted: " + name)
		}
	}
}
