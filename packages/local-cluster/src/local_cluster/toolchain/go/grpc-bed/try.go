package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// attempt is the end of one call, as the client sees it.
type attempt struct {
	Code     int         `json:"code"`
	Message  string      `json:"message"`
	Headers  metadata.MD `json:"headers"`
	Trailers metadata.MD `json:"trailers"`
}

const patience = 10 * time.Second

// settle waits until a channel has a connection, or knows that it gets none.
func settle(channel *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		now := channel.GetState()
		if now == connectivity.Ready || now == connectivity.TransientFailure {
			return
		}
		if !channel.WaitForStateChange(ctx, now) {
			return
		}
	}
}

// try makes one call. Its deadline begins once the client has a connection.
func try(arguments []string) error {
	flags := flag.NewFlagSet("try", flag.ExitOnError)
	target := flags.String("target", "", "address of the gateway")
	way := wayIn(flags)
	path := flags.String("method", method, "method to call")
	limit := flags.Duration("deadline", 20*time.Second, "deadline of the call")
	size := flags.Int("request-bytes", 64, "size of the request")
	sent := metadata.MD{}
	flags.Func("metadata", "NAME=VALUE to send; repeatable", func(pair string) error {
		name, value, _ := strings.Cut(pair, "=")
		sent.Append(name, value)
		return nil
	})
	flags.Parse(arguments)

	channel, err := way.channel(*target)
	if err != nil {
		return err
	}
	defer channel.Close()
	settle(channel)
	ctx, cancel := context.WithTimeout(way.context(), *limit)
	defer cancel()
	for name, values := range sent {
		for _, value := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, name, value)
		}
	}
	request := make([]byte, *size)
	var answer []byte
	var found attempt
	end := channel.Invoke(ctx, *path, &request, &answer,
		grpc.Header(&found.Headers), grpc.Trailer(&found.Trailers))
	found.Code, found.Message = int(status.Code(end)), status.Convert(end).Message()
	return json.NewEncoder(os.Stdout).Encode(found)
}
