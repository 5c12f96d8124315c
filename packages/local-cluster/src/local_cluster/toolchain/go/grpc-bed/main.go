// A bed for gateways: stand-in replicas with their DNS, and a client as an orchestrator writes it.
//
// Messages are bytes without a meaning: the bed measures gateways, which do not read them.
package main

import (
	"fmt"
	"log"
	"os"
)

const method = "/inference.GRPCInferenceService/ModelInfer"

// raw passes messages on as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (raw) Unmarshal(data []byte, message any) error {
	// grpc-go reuses its buffer.
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func main() {
	log.SetFlags(0)
	commands := map[string]func([]string) error{"serve": serve, "call": call, "try": try}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		log.Fatalf("usage: %s serve|call|try FLAGS", os.Args[0])
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		log.Fatal(fmt.Errorf("%s: %w", os.Args[1], err))
	}
}
