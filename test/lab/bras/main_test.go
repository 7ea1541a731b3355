package bras

import (
	"testing"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }
