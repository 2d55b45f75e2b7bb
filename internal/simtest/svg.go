package simtest

import (
	"fmt"
	"math"
	"strings"
)

// chart is a plot of a few lines: x and y, y on a logarithmic scale where it says so. Our own and no library, since those that draw well
// bring a dozen modules of fonts and formats for what is a hundred lines here.
type chart struct {
	title, x, y string
	logX, logY  bool
	lines       []line
	least, most float64 // of y; 0: what there is
	bars        bool    // x are the places of bars, which are named
	names       []string
}

type line struct {
	name string
	x, y []float64
}

// The palette of Okabe and Ito, which people of every kind of colour vision can tell apart.
var colours = []string{"#000000", "#999999", "#56B4E9", "#F0E442", "#E69F00", "#009E73", "#0072B2", "#D55E00"}

const (
	wide, high                = 760, 420
	left, right, above, below = 70, 150, 40, 50
)

func (c *chart) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", wide, high)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", wide, high)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15">%s</text>`+"\n", left, c.title)
	x0, x1 := math.Inf(1), math.Inf(-1)
	y0, y1 := math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for i := range l.x {
			x0, x1 = min(x0, l.x[i]), max(x1, l.x[i])
			y0, y1 = min(y0, l.y[i]), max(y1, l.y[i])
		}
	}
	if c.bars {
		x0, x1 = -0.5, float64(len(c.names))-0.5
	}
	if c.least != 0 {
		y0 = c.least
	}
	if c.most != 0 {
		y1 = c.most
	}
	if y0 == y1 {
		y1++
	}
	px := func(v float64) float64 { return left + (wide-left-right)*scaled(v, x0, x1, c.logX) }
	py := func(v float64) float64 {
		return high - below - (high-above-below)*scaled(min(max(v, y0), y1), y0, y1, c.logY)
	}
	for _, v := range ticks(y0, y1, c.logY) {
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%v</text>`+"\n",
			left, py(v), wide-right, py(v), left-6, py(v)+4, short(v))
	}
	if !c.bars {
		for _, v := range ticks(x0, x1, c.logX) {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%v</text>`+"\n", px(v), high-below+18, short(v))
		}
	}
	for i, n := range c.names {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="11">%s</text>`+"\n", px(float64(i)), high-below+18, n)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+wide-right)/2, high-12, c.x)
	fmt.Fprintf(&b, `<text x="16" y="%d" text-anchor="middle" transform="rotate(-90 16 %d)">%s</text>`+"\n", (above+high-below)/2, (above+high-below)/2, c.y)
	for i, l := range c.lines {
		colour := colours[i%len(colours)]
		if c.bars {
			colour = colours[len(colours)-1-i%len(colours)]
			w := 0.8 * (px(1) - px(0)) / float64(len(c.lines))
			for k, x := range l.x {
				at := px(x) + w*(float64(i)-float64(len(c.lines))/2)
				fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/><text x="%.1f" y="%.1f" font-size="9" text-anchor="middle">%v</text>`+"\n",
					at, py(l.y[k]), w, high-below-py(l.y[k]), colour, at+w/2, py(l.y[k])-3, short(l.y[k]))
			}
		} else {
			var points strings.Builder
			for k := range l.x {
				fmt.Fprintf(&points, "%.1f,%.1f ", px(l.x[k]), py(l.y[k]))
			}
			fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.TrimSpace(points.String()), colour)
		}
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="14" height="4" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			wide-right+14, above+18*i, colour, wide-right+34, above+18*i+6, l.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func scaled(v, lo, hi float64, log bool) float64 {
	if log {
		v, lo, hi = math.Log(v), math.Log(lo), math.Log(hi)
	}
	return (v - lo) / (hi - lo)
}

// ticks are round values of an axis.
func ticks(lo, hi float64, log bool) (all []float64) {
	if log {
		for p := math.Pow(10, math.Floor(math.Log10(lo))); p <= hi; p *= 10 {
			for _, m := range []float64{1, 2, 5} {
				if v := m * p; v >= lo && v <= hi {
					all = append(all, v)
				}
			}
		}
		return all
	}
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/4)))
	for (hi-lo)/step > 8 {
		step *= 2
	}
	for i := math.Ceil(lo / step); i*step <= hi*(1+1e-9); i++ {
		all = append(all, i*step)
	}
	return all
}

func short(v float64) string {
	if v != 0 && math.Abs(v) < 10 {
		return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
	}
	return fmt.Sprintf("%.0f", v)
}
