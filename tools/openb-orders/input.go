package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	maxRows        = 1_000_000
	maxGPUs        = 1000
	milliPerGPU    = 1000
	maxShown       = 64 // bytes of a bad value that a message repeats
	utf8BOM        = "\xef\xbb\xbf"
	podNameColumn  = "name"
	numGPUColumn   = "num_gpu"
	gpuMilliColumn = "gpu_milli"
	nodeNameColumn = "sn"
	nodeGPUColumn  = "gpu"
)

// quoted shows a value of the input in a message: escaped, and cut at maxShown bytes.
func quoted(value string) string {
	if len(value) > maxShown {
		return strconv.Quote(value[:maxShown]) + "..."
	}
	return strconv.Quote(value)
}

// table reads CSV rows and finds columns by the names of the header row. Columns may stand in any order, and those that
// nobody asks for are ignored. A byte order mark, CRLF, quotes and blank lines are accepted. Every error begins with
// what the table is (a flag's name), then line and column where there are any.
type table struct {
	what   string
	reader *csv.Reader
	column map[string]int
	row    []string
	rows   int
}

func newTable(what string, in io.Reader, columns ...string) (*table, error) {
	buffered := bufio.NewReader(in)
	if start, _ := buffered.Peek(len(utf8BOM)); string(start) == utf8BOM {
		_, _ = buffered.Discard(len(utf8BOM))
	}
	t := &table{what: what, reader: csv.NewReader(buffered), column: map[string]int{}}
	t.reader.ReuseRecord = true
	header, err := t.reader.Read()
	if err == io.EOF {
		return nil, fmt.Errorf("%s: the file is empty; accepted: a header row with the columns %v, then data rows", what, columns)
	}
	if err != nil {
		return nil, t.malformed(err)
	}
	seen := map[string]int{}
	for i, name := range header {
		seen[name]++
		t.column[name] = i
	}
	for _, name := range columns {
		if seen[name] != 1 {
			return nil, fmt.Errorf("%s line 1: column %s stands %d times in the header; accepted: once", what, name, seen[name])
		}
	}
	return t, nil
}

// next moves to the next data row; false at the end of the table.
func (t *table) next() (bool, error) {
	row, err := t.reader.Read()
	if err == io.EOF {
		if t.rows == 0 {
			return false, fmt.Errorf("%s: the file has 0 data rows; accepted: 1..%d", t.what, maxRows)
		}
		return false, nil
	}
	if err != nil {
		return false, t.malformed(err)
	}
	t.row = row
	t.rows++
	if t.rows > maxRows {
		return false, fmt.Errorf("%s line %d: more than %d data rows; accepted: 1..%d", t.what, t.line(), maxRows, maxRows)
	}
	return true, nil
}

func (t *table) line() int {
	line, _ := t.reader.FieldPos(0)
	return line
}

// text returns a field of the row, which must not be empty.
func (t *table) text(column string) (string, error) {
	value := t.row[t.column[column]]
	if value == "" {
		return "", t.bad(column, "accepted: at least one character")
	}
	return value, nil
}

// integer returns a field of the row as a whole number in low..high.
func (t *table) integer(column string, low, high int64) (int64, error) {
	value, err := strconv.ParseInt(t.row[t.column[column]], 10, 64)
	if err != nil || value < low || value > high {
		return 0, t.bad(column, fmt.Sprintf("accepted: a whole number in %d..%d", low, high))
	}
	return value, nil
}

func (t *table) bad(column, accepted string) error {
	line, at := t.reader.FieldPos(t.column[column])
	return fmt.Errorf("%s line %d column %d: %s is %s; %s", t.what, line, at, column, quoted(t.row[t.column[column]]), accepted)
}

// malformed words an error of the CSV reader, or of the file below it, without the file's path.
func (t *table) malformed(err error) error {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("%s: cannot read: %w", t.what, withoutPath(err))
	}
	if errors.Is(err, csv.ErrFieldCount) {
		return fmt.Errorf("%s line %d: wrong number of fields; accepted: %d, as in the header", t.what, parse.Line, t.reader.FieldsPerRecord)
	}
	return fmt.Errorf("%s line %d column %d: %v; accepted: comma-separated fields, quotes doubled inside quotes", t.what, parse.Line,
		parse.Column, parse.Err)
}

// names rejects a name that two rows share: the order of the two would be nobody's choice.
type names map[string]int

func (n names) add(t *table, column, name string) error {
	if first, taken := n[name]; taken {
		return t.bad(column, fmt.Sprintf("line %d has the same; accepted: each name once", first))
	}
	n[name] = t.line()
	return nil
}

// readPods reads an openb pod list: columns name, num_gpu and gpu_milli.
func readPods(what string, in io.Reader) ([]pod, error) {
	t, err := newTable(what, in, podNameColumn, numGPUColumn, gpuMilliColumn)
	if err != nil {
		return nil, err
	}
	var pods []pod
	taken := names{}
	for {
		more, err := t.next()
		if !more || err != nil {
			return pods, err
		}
		var p pod
		if p.name, err = t.text(podNameColumn); err != nil {
			return nil, err
		}
		if err = taken.add(t, podNameColumn, p.name); err != nil {
			return nil, err
		}
		if p.numGPU, err = t.integer(numGPUColumn, 0, maxGPUs); err != nil {
			return nil, err
		}
		if p.numGPU > 0 { // the trace gives gpu_milli no meaning where num_gpu is 0
			if p.gpuMilli, err = t.integer(gpuMilliColumn, 1, milliPerGPU); err != nil {
				return nil, err
			}
		}
		pods = append(pods, p)
	}
}

// readNodes reads an openb node list, columns sn and gpu, and returns the number of nodes and of their GPUs.
func readNodes(what string, in io.Reader) (nodes int, gpus int64, err error) {
	t, err := newTable(what, in, nodeNameColumn, nodeGPUColumn)
	if err != nil {
		return 0, 0, err
	}
	taken := names{}
	for {
		more, err := t.next()
		if !more || err != nil {
			return t.rows, gpus, err
		}
		name, err := t.text(nodeNameColumn)
		if err != nil {
			return 0, 0, err
		}
		if err = taken.add(t, nodeNameColumn, name); err != nil {
			return 0, 0, err
		}
		count, err := t.integer(nodeGPUColumn, 0, maxGPUs)
		if err != nil {
			return 0, 0, err
		}
		gpus += count
	}
}
