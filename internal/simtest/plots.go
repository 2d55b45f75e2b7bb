package simtest

import "time"

// plots draws what the tables say.
func (r *report) plots() map[string]*chart {
	all := map[string]*chart{}
	const shape = "heavy-1000-100-95"
	ideal := r.pooled(shape, "omniscient")
	if ideal != nil {
		bars := &chart{title: "Response beside the ideal: 1,000 nodes, 100 homes, 95 % load", y: "times the ideal", logY: true, bars: true, least: 0.9}
		var median, tail line
		median.name, tail.name = "median", "99th percentile"
		cdf := &chart{title: "Response of jobs: 1,000 nodes, 100 homes, 95 % load", x: "milliseconds", y: "share of jobs", logX: true}
		for i, s := range Schedulers {
			p := r.pooled(shape, s)
			if p == nil {
				continue
			}
			bars.names = append(bars.names, s)
			median.x, median.y = append(median.x, float64(i)), append(median.y, ratioOf(p, ideal, .5))
			tail.x, tail.y = append(tail.x, float64(i)), append(tail.y, ratioOf(p, ideal, .99))
			l := line{name: s}
			for q := 0.005; q < 1; q += 0.005 {
				l.x, l.y = append(l.x, max(0.1, quantile(p.Responses, q).Seconds()*1e3)), append(l.y, q)
			}
			cdf.lines = append(cdf.lines, l)
		}
		bars.lines = []line{median, tail}
		all["response"], all["cdf"] = bars, cdf
	}
	sweepMedian := &chart{title: "Median response: 100 nodes, 10 homes", x: "load, %", y: "milliseconds", logY: true}
	sweepTail := &chart{title: "99th percentile of response: 100 nodes, 10 homes", x: "load, %", y: "milliseconds", logY: true}
	for _, section := range r.sections {
		if section.Name != "sweep" {
			continue
		}
		for _, s := range Schedulers {
			m, t := line{name: s}, line{name: s}
			for _, shape := range section.Shapes {
				p := r.pooled(shape.Name, s)
				m.x, m.y = append(m.x, 100*shape.Load), append(m.y, quantile(p.Responses, .5).Seconds()*1e3)
				t.x, t.y = append(t.x, 100*shape.Load), append(t.y, quantile(p.Responses, .99).Seconds()*1e3)
			}
			sweepMedian.lines, sweepTail.lines = append(sweepMedian.lines, m), append(sweepTail.lines, t)
		}
		all["load-median"], all["load-p99"] = sweepMedian, sweepTail
	}
	fair := &chart{title: "Equal users who always want more: Jain's index over 10 s", x: "seconds", y: "Jain's index", least: 0.9, most: 1}
	for _, section := range r.sections {
		if section.Name != "fair" {
			continue
		}
		for _, shape := range section.Shapes {
			p := r.pooled(shape.Name, "ours")
			l := line{name: shape.Name}
			for i, j := range p.Jain {
				l.x, l.y = append(l.x, (shape.Warm+time.Duration(i+1)*fairWindow).Seconds()), append(l.y, j)
			}
			fair.lines = append(fair.lines, l)
		}
		all["fair"] = fair
	}
	return all
}
