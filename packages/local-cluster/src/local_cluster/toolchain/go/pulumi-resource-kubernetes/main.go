// Pulumi's Kubernetes resource provider, from its published module.
//
// The module's own main embeds files that its build generates and the module does not hold. The two
// files embedded here are the ones they are generated from; they lie in the same module and are put
// beside this file when it is built.
package main

import (
	"bytes"
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	// The module's generate.go adds the version to the schema too.
	versioned := bytes.Replace(schema, []byte("{"), []byte(`{"version": "`+version.Version+`",`), 1)
	provider.Serve("kubernetes", version.Version, versioned, terraformMapping)
}
