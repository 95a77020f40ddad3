// events.json: the spans of a run in the trace-viewer format, for ui.perfetto.dev and speedscope.
//
// Source:      "Trace Event Format" (Google, public document): B, E, i, C and M events; ts in microseconds.
// A variant is a process there, a track a thread. Where spans of a track overlap it gets several threads. Events stand in
// order of ts, and those of a thread as they nest. Begin and end, not X with a length: viewers add ts and dur as floating
// point, and what ends where the next begins would overlap it. A span of no length is an instant.
#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/run/report.h"
#include "sim/run/report_format.h"
#include "sim/run/report_series.h"

namespace collapsar {

namespace {

// The order of the tracks; what is not named here comes last.
constexpr std::array<std::string_view, 10> kTracks{"CPU",
                                                   "khugepaged",
                                                   "MADV_COLLAPSE",
                                                   "MADV_COLLAPSE of files",
                                                   "kswapd",
                                                   "direct reclaim",
                                                   "MADV_PAGEOUT",
                                                   "kcompactd",
                                                   "direct compaction",
                                                   "lock waiters"};

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

// 1234567 -> "1234.567": ns as us, ps as ns.
std::string thousandths(std::uint64_t n) { return fmt::format("{}.{:03}", n / 1000, n % 1000); }

std::uint64_t ns_of(Time t) { return rounded_ns(t - kTimeZero); }

std::string text_of(const SpanNote& note) {
  switch (note.kind) {
    case SpanNote::Kind::none: return "";
    case SpanNote::Kind::number: return std::to_string(note.number);
    case SpanNote::Kind::address: return to_hex(note.number);
    case SpanNote::Kind::nanoseconds: return thousandths(note.number);
    case SpanNote::Kind::text: return std::string(note.text);
  }
  return "";
}

std::string arguments_of(const Span& span) {
  std::string out;
  for (const SpanNote& note : span.notes) {
    if (note.kind == SpanNote::Kind::none) continue;
    const bool is_number = note.kind == SpanNote::Kind::number || note.kind == SpanNote::Kind::nanoseconds;
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", json_text(note.name),
                       is_number ? text_of(note) : json_text(text_of(note)));
  }
  return "{" + out + "}";
}

std::string name_of(const Span& span) {
  return std::string(span.name) + (span.is_named_by_note ? " " + text_of(span.notes[0]) : "");
}

// Which thread of the viewer a span goes to: the track, and of those with overlaps the first that is free.
class Threads {
 public:
  struct Place {
    std::size_t order;
    std::string_view track;
    std::uint32_t number, lane;
    auto operator<=>(const Place&) const = default;
  };

  Place place_of(const Span& span) {
    const auto known = std::find(kTracks.begin(), kTracks.end(), span.track.name);
    Place place{std::size_t(known - kTracks.begin()), span.track.name, span.track.number, 0};
    if (!span.track.overlaps) return places_[place], place;
    std::vector<Time>& lanes = lanes_[place];
    const auto free =
        std::find_if(lanes.begin(), lanes.end(), [&](Time busy_until) { return busy_until <= span.begin; });
    place.lane = std::uint32_t(free - lanes.begin()) + 1;
    if (free == lanes.end()) lanes.push_back(span.end);
    else *free = span.end;
    return places_[place], place;
  }
  // Numbers them, once all are known.
  void number() {
    std::size_t next = 0;
    for (auto& [place, id] : places_) id = ++next;
  }
  std::size_t id_of(const Place& place) const { return places_.at(place); }
  static std::string title_of(const Place& place) {
    std::string title(place.track);
    if (place.track == "CPU" || place.number > 0) title += fmt::format(" {}", place.number);
    if (place.lane > 0) title += fmt::format(", {}", place.lane);
    return title;
  }
  const std::map<Place, std::size_t>& all() const { return places_; }

 private:
  std::map<Place, std::size_t> places_;
  std::map<Place, std::vector<Time>> lanes_;  // until when each is busy
};

// A line of the file, and where it stands.
struct Line {
  std::uint64_t ns = 0;
  std::string text;
};

class VariantEvents {
 public:
  VariantEvents(const VariantResult& variant, std::size_t pid) : variant_(variant), pid_(pid) {}

  void write(std::vector<std::string>& out) {
    std::map<Threads::Place, std::vector<const Span*>> by_thread;
    for (const Span& span : variant_.spans.spans) by_thread[threads_.place_of(span)].push_back(&span);
    threads_.number();
    add_names(out);
    for (const auto& [place, spans] : by_thread) add_thread(tid(place), spans);
    add_counter("huge-page coverage", "percent", coverage_percent);
    add_counter("TLB misses per 1,000 references", "misses", misses_per_thousand);
    std::stable_sort(lines_.begin(), lines_.end(), [](const Line& a, const Line& b) { return a.ns < b.ns; });
    for (Line& line : lines_) out.push_back(std::move(line.text));
  }

 private:
  std::size_t tid(const Threads::Place& place) const { return pid_ * 10'000 + threads_.id_of(place); }

  void add_names(std::vector<std::string>& out) const {
    out.push_back(fmt::format(R"({{"ph":"M","name":"process_name","pid":{},"tid":0,"args":{{"name":{}}}}})", pid_,
                              json_text(variant_.name)));
    for (const auto& [place, id] : threads_.all()) {
      out.push_back(fmt::format(R"({{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":{}}}}})", pid_,
                                tid(place), json_text(Threads::title_of(place))));
      out.push_back(
          fmt::format(R"({{"ph":"M","name":"thread_sort_index","pid":{},"tid":{},"args":{{"sort_index":{}}}}})", pid_,
                      tid(place), id));
    }
  }

  // Spans in order of begin, the longest first: what is open when one begins either holds it or ends before.
  void add_thread(std::size_t thread, const std::vector<const Span*>& spans) {
    std::vector<const Span*> open;
    const auto close_until = [&](std::uint64_t ns) {
      for (; !open.empty() && ns_of(open.back()->end) <= ns; open.pop_back()) add_end(thread, *open.back());
    };
    for (const Span* span : spans) {
      close_until(ns_of(span->begin));
      const bool is_instant = ns_of(span->end) == ns_of(span->begin);
      add_begin(thread, *span, is_instant ? R"("i","s":"t")" : R"("B")");
      if (!is_instant) open.push_back(span);
    }
    close_until(~0ULL);
  }

  void add_begin(std::size_t thread, const Span& span, const char* phase) {
    lines_.push_back(
        {ns_of(span.begin), fmt::format(R"({{"ph":{},"name":{},"cat":{},"pid":{},"tid":{},"ts":{},"args":{}}})", phase,
                                        json_text(name_of(span)), json_text(span.track.name), pid_, thread,
                                        thousandths(ns_of(span.begin)), arguments_of(span))});
  }

  void add_end(std::size_t thread, const Span& span) {
    lines_.push_back(
        {ns_of(span.end), fmt::format(R"({{"ph":"E","name":{},"pid":{},"tid":{},"ts":{}}})", json_text(name_of(span)),
                                      pid_, thread, thousandths(ns_of(span.end)))});
  }

  void add_counter(const char* name, const char* unit,
                   std::optional<double> (*value)(const TimePoint& before, const TimePoint& now)) {
    const Timeline points = thinned(variant_.timeline, kMostPlotPoints);
    for (std::size_t i = 0; i < points.size(); ++i) {
      const auto v = value(points[i == 0 ? 0 : i - 1], points[i]);
      if (v)
        lines_.push_back(
            {points[i].time_ns, fmt::format(R"({{"ph":"C","name":"{}","pid":{},"ts":{},"args":{{"{}":{:.4f}}}}})", name,
                                            pid_, thousandths(points[i].time_ns), unit, *v)});
    }
  }

  const VariantResult& variant_;
  std::size_t pid_;
  Threads threads_;
  std::vector<Line> lines_;
};

std::string left_out(const ExperimentResult& result) {
  std::string out;
  for (const VariantResult& variant : result.variants)
    for (const DroppedSpans& account : variant.spans.accounts)
      if (account.dropped > 0)
        out += fmt::format(
            "{}\n{{\"variant\":{},\"track\":{},\"kept\":{},\"left_out\":{},\"left_out_ns\":{},\"longest_left_out_ns\":{"
            "}}}",
            out.empty() ? "" : ",", json_text(variant.name), json_text(account.track), account.kept, account.dropped,
            thousandths(std::uint64_t(account.dropped_time.count())),
            thousandths(std::uint64_t(account.longest.count())));
  return out;
}

}  // namespace

std::vector<std::string> left_out_notes(const ExperimentResult& result) {
  std::vector<std::string> notes;
  for (const VariantResult& variant : result.variants)
    for (const DroppedSpans& account : variant.spans.accounts)
      if (account.dropped > 0)
        notes.push_back(fmt::format(
            "events.json, {}, {}: the {} longest of {} slices; those left out last {} together, the "
            "longest {} (output.events)",
            variant.name, account.track, with_separators(account.kept), with_separators(account.kept + account.dropped),
            readable_time(to_ns(account.dropped_time)), readable_time(to_ns(account.longest))));
  return notes;
}

std::string events_report(const ExperimentResult& result) {
  std::vector<std::string> events;
  for (std::size_t i = 0; i < result.variants.size(); ++i) VariantEvents(result.variants[i], i + 1).write(events);
  return fmt::format(
      "{{\"displayTimeUnit\":\"ns\",\n\"otherData\":{{\"program\":\"collapsar {}\",\"experiment\":{},\"trace\":{},"
      "\"left_out\":[{}]}},\n\"traceEvents\":[\n{}\n]}}\n",
      COLLAPSAR_VERSION, json_text(result.name), json_text(result.trace.name), left_out(result),
      fmt::join(events, ",\n"));
}

}  // namespace collapsar
