module kubemind.local/toolchain/keda-chart

go 1.26.0

require github.com/kedacore/charts v2.20.2+incompatible // release 2.20.2
