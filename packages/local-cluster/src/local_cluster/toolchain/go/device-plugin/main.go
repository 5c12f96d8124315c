// Parses configurations of NVIDIA's device plugin with the plugin's own package.
//
// Each line of the standard input is a JSON object: "config" is the text of a configuration file,
// "env" the environment of the container. Each line of the standard output answers one: "strategy"
// and "config" as the plugin understands them, or "error". The flags are those of the plugin's
// cmd/nvidia-device-plugin/main.go on which sharing depends.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"

	spec "github.com/NVIDIA/k8s-device-plugin/api/config/v1"
	"github.com/urfave/cli/v2"
)

type question struct {
	Config string            `json:"config"`
	Env    map[string]string `json:"env"`
}

type answer struct {
	Strategy spec.SharingStrategy `json:"strategy,omitempty"`
	Config   *spec.Config         `json:"config,omitempty"`
	Error    string               `json:"error,omitempty"`
}

type warnings struct{}

func (warnings) Warning(args ...any)                 { log.Print(args...) }
func (warnings) Warningf(format string, args ...any) { log.Printf(format, args...) }

func parse(file string) (*spec.Config, error) {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "config-file"},
		&cli.StringFlag{
			Name: "mig-strategy", Value: spec.MigStrategyNone, EnvVars: []string{"MIG_STRATEGY"},
		},
		&cli.StringFlag{Name: "mps-root", EnvVars: []string{"MPS_ROOT"}},
	}
	var parsed *spec.Config
	app := &cli.App{Flags: flags, Action: func(c *cli.Context) error {
		config, err := spec.NewConfig(c, flags)
		if err != nil {
			return err
		}
		config.Flags.GFD = nil
		spec.DisableResourceNamingInConfig(warnings{}, config)
		parsed = config
		return nil
	}}
	err := app.Run([]string{"", "--config-file", file})
	return parsed, err
}

func ask(line []byte, file string) (*answer, error) {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(asked.Config), 0o600); err != nil {
		return nil, err
	}
	os.Clearenv()
	for name, value := range asked.Env {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	config, err := parse(file)
	if err != nil {
		return &answer{Error: err.Error()}, nil
	}
	return &answer{Strategy: config.Sharing.SharingStrategy(), Config: config}, nil
}

func serve(file string) error {
	lines, answers := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		answered, err := ask(lines.Bytes(), file)
		if err != nil {
			return err
		}
		if err := answers.Encode(answered); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	file, err := os.CreateTemp("", "device-plugin-*.yaml")
	if err != nil {
		log.Fatal(err)
	}
	err = serve(file.Name())
	_ = os.Remove(file.Name())
	if err != nil {
		log.Fatal(err)
	}
}
