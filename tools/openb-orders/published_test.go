package main

import (
	"os"
	"path/filepath"
	"testing"
)

// findTrace returns the folder of the openb trace with the orders of the published runs, or why there is none.
func findTrace(shared string) (folder, missing string) {
	folder = filepath.Join(shared, "openb")
	if _, err := os.Stat(filepath.Join(folder, "protocol")); err != nil {
		return "", "no openb trace with its protocol folder; set BERTH_SHARED_DATA to the folder that holds openb/"
	}
	return folder, ""
}

// mustNotSkip: under CI=true a check that is left out is a failure, or nobody would see that it says nothing.
func mustNotSkip(ci string) bool { return ci == "true" }

func TestOrdersOfThePublishedRunsAreMadeByteForByte(t *testing.T) {
	shared := os.Getenv("BERTH_SHARED_DATA")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared", "data") // beside the checkout
	}
	folder, missing := findTrace(shared)
	if missing != "" && mustNotSkip(os.Getenv("CI")) {
		t.Fatal(missing)
	}
	if missing != "" {
		t.Skip("SKIPPED: " + missing)
	}
	for pods, orders := range map[string]string{
		"default": "default", "cpu250": "cpu250", "gpushare40": "gpushare40", "gpushare100": "gpushare100",
		"multigpu20": "multigpu20", "multigpu50": "multigpu50",
		"gpuspec10": "default", "gpuspec33": "default", // differ from default in gpu_spec alone, which no draw looks at
	} {
		t.Run(pods, func(t *testing.T) {
			arrival, nodeRank := makeOrders(t, "--nodes", filepath.Join(folder, "openb_node_list_gpu_node.csv"),
				"--pods", filepath.Join(folder, "openb_pod_list_"+pods+".csv"), "--seeds", "42-51", "--tune", "1.3")
			sameBytes(t, "arrival", arrival, mustRead(t, filepath.Join(folder, "protocol", "arrival_"+orders+".csv")))
			sameBytes(t, "noderank", nodeRank, mustRead(t, filepath.Join(folder, "protocol", "noderank_"+orders+".csv")))
		})
	}
}

func TestAMissingTraceIsSeenAndFailsUnderCI(t *testing.T) {
	shared := t.TempDir()
	if folder, missing := findTrace(shared); folder != "" || missing == "" {
		t.Errorf("an empty folder: found %q, missing %q", folder, missing)
	}
	if err := os.MkdirAll(filepath.Join(shared, "openb", "protocol"), 0o700); err != nil {
		t.Fatal(err)
	}
	if folder, missing := findTrace(shared); folder == "" || missing != "" {
		t.Errorf("a folder with the trace: found %q, missing %q", folder, missing)
	}
	if !mustNotSkip("true") || mustNotSkip("") {
		t.Error("a missing trace must fail under CI=true, and only there")
	}
}
