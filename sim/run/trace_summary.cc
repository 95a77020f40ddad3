#include "sim/run/trace_summary.h"

#include <algorithm>
#include <set>

#include "sim/run/mapped_at.h"
#include "sim/run/report_format.h"
#include "sim/trace/trace_text.h"
#include "sim/trace/trace_touched.h"

namespace collapsar {

namespace {

// Pages a process has touched. Most references stay on the page of the one before.
class Footprint {
 public:
  // How many pages are new, and how many are new in this step.
  struct New {
    std::uint64_t ever = 0, in_step = 0;
  };
  New touch(const Record& record) {
    const std::uint64_t first = record.va >> kPageShift, last = (record.va + record.size - 1) >> kPageShift;
    New found;
    if (first == last_ && last == last_) return found;
    for (std::uint64_t page = first; page <= last; ++page) {
      found.in_step += in_step_.add(page);
      if (!pages_.add(page)) continue;
      ++found.ever, ++count_;
      ranges_ += huge_.add(page >> kHugeOrder);
    }
    last_ = last;
    return found;
  }
  void begin_step() { in_step_ = {}, last_ = ~0ULL; }
  std::uint64_t pages() const { return count_; }
  std::uint64_t ranges() const { return ranges_; }

 private:
  PageSet pages_, in_step_, huge_;
  std::uint64_t count_ = 0, ranges_ = 0;
  std::uint64_t last_ = ~0ULL;
};

// Reads the items of a trace into a summary.
class Reading {
 public:
  explicit Reading(std::uint64_t references) : all_(references) {}
  void take(const TraceEvent& event);
  void take(const TraceRun& run);
  TraceSummary result();

 private:
  static constexpr std::uint64_t kSteps = 10;
  std::uint64_t end_of_step() const { return all_ * (summary_.steps.size() + 1) / kSteps; }
  void end_step(std::int64_t stamp_ns);
  TraceSummary summary_;
  std::uint64_t all_, read_ = 0, pages_ = 0, touched_ = 0;
  std::map<std::uint32_t, Footprint> footprints_;
  std::map<std::uint32_t, std::string> programs_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> threads_;
  MappedAt mapped_;  // before the first reference
};

void Reading::take(const TraceEvent& event) {
  using Op = TraceEvent::Op;
  ++summary_.events[event.op];
  summary_.span_ns = std::max(summary_.span_ns, event.stamp_ns);
  if (event.op == Op::process) programs_[event.pid] = event.name;
  if (event.op == Op::fork) programs_[static_cast<std::uint32_t>(event.value)] = programs_[event.pid];
  if (event.op == Op::exec && !event.name.empty()) programs_[event.pid] = event.name;
  if (read_ == 0) mapped_.apply(event);
}

void Reading::take(const TraceRun& run) {
  TraceSummary::Process& process = summary_.processes[run.pid];
  process.threads += threads_.emplace(run.pid, run.tid).second;
  process.references += run.records.size();
  summary_.span_ns = std::max(summary_.span_ns, run.end_ns);
  Footprint& footprint = footprints_[run.pid];
  for (const Record& record : run.records) {
    ++summary_.references[std::size_t(record.kind)];
    summary_.instructions += record.instructions;
    summary_.dependent += record.flags & Record::kDependsOnLoad;
    const Footprint::New found = footprint.touch(record);
    pages_ += found.ever, touched_ += found.in_step;
    if (++read_ == end_of_step()) end_step(run.end_ns);
  }
}

void Reading::end_step(std::int64_t stamp_ns) {
  summary_.steps.push_back({read_, stamp_ns, pages_, touched_});
  touched_ = 0;
  for (auto& [pid, footprint] : footprints_) footprint.begin_step();
}

TraceSummary Reading::result() {
  for (auto& [pid, process] : summary_.processes) {
    process.program = programs_[pid];
    process.pages = footprints_[pid].pages(), process.ranges = footprints_[pid].ranges();
  }
  summary_.vmas = mapped_.list();
  return std::move(summary_);
}

constexpr std::array<const char*, 6> kKinds{"fetch", "load", "store", "modify", "kernel_read", "kernel_write"};

std::string footprint_text(std::uint64_t pages, std::uint64_t ranges) {
  return fmt::format("{} pages of 4 KiB ({}) in {} ranges of 2 MiB", with_separators(pages),
                     readable_bytes(pages * kPageBytes), with_separators(ranges));
}

std::string yes_no(bool value) { return value ? "yes" : "no"; }

std::string event_text(const TraceEvent& e) {
  std::string out = fmt::format("{:>12}  {}.{}  {}", e.index, e.pid, e.tid, name_of(e.op));
  if (e.address || e.length) out += fmt::format(" {}+{}", to_hex(e.address), to_hex(e.length));
  if (e.new_address || e.new_length) out += fmt::format(" -> {}+{}", to_hex(e.new_address), to_hex(e.new_length));
  if (e.prot) out += fmt::format(" prot={}", e.prot);
  if (e.map_flags) out += fmt::format(" flags={}", to_hex(e.map_flags));
  if (e.advice) out += fmt::format(" advice={}", e.advice);
  if (e.value) out += fmt::format(" value={}", e.value);
  if (e.file) out += fmt::format(" file={}", e.file);
  if (!e.name.empty()) out += " " + e.name;
  return out + "\n";
}

std::string record_text(const TraceRun& run, std::size_t i) {
  const Record& r = run.records[i];
  return fmt::format("{:>12}  {}.{}  {} {} size={} instructions={}{}\n", run.first_index + i, run.pid, run.tid,
                     kKinds[std::size_t(r.kind)], to_hex(r.va), r.size, r.instructions,
                     r.flags & Record::kDependsOnLoad ? " depends" : "");
}

}  // namespace

TraceSummary summarise(TraceSource& source) {
  Reading reading(source.info().references);
  while (const std::optional<TraceItem> item = source.next())
    std::visit([&](const auto& part) { reading.take(part); }, *item);
  return reading.result();
}

namespace {

std::string counts_text(const TraceInfo& info, const TraceSummary& summary) {
  std::uint64_t references = 0;
  for (std::uint64_t n : summary.references) references += n;
  std::string out = fmt::format("references    {}", with_separators(references));
  const char* separator = ": ";
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (summary.references[i] == 0) continue;
    out += fmt::format("{}{} {}", separator, with_separators(summary.references[i]), kKinds[i]);
    separator = ", ";
  }
  out += fmt::format("\ninstructions  {}{}\n", with_separators(summary.instructions),
                     info.has_instructions ? "" : " (estimated)");
  out += fmt::format("dependent     {}\n", info.has_dependence ? with_separators(summary.dependent) : "not recorded");
  return out +
         fmt::format("span          {}\n", info.has_stamps ? readable_time(double(summary.span_ns)) : "no time stamps");
}

std::string processes_text(const TraceSummary& summary) {
  std::uint64_t threads = 0;
  for (const auto& [pid, process] : summary.processes) threads += process.threads;
  std::string out = fmt::format("processes     {}, threads {}\n", summary.processes.size(), threads);
  for (const auto& [pid, process] : summary.processes) {
    out += fmt::format("  {}{}: threads {}, references {}\n", pid,
                       process.program.empty() ? "" : fmt::format(" ({})", process.program), process.threads,
                       with_separators(process.references));
    out += fmt::format("    footprint {}\n", footprint_text(process.pages, process.ranges));
  }
  return out;
}

std::string steps_text(const TraceInfo& info, const TraceSummary& summary) {
  std::string out;
  for (std::size_t i = 0; i < summary.steps.size(); ++i) {
    const TraceSummary::Step& step = summary.steps[i];
    out += fmt::format("  {:>3} %  {:<24}{:>10} pages so far, {} touched in this tenth{}\n", 10 * (i + 1),
                       with_separators(step.references) + " references", with_separators(step.pages),
                       with_separators(step.touched),
                       info.has_stamps ? fmt::format(", at {}", readable_time(double(step.stamp_ns))) : "");
  }
  return out.empty() ? out : "over time\n" + out;
}

std::string vmas_text(std::vector<TraceEvent> vmas) {
  constexpr std::size_t kShown = 8;
  std::uint64_t bytes = 0;
  for (const TraceEvent& vma : vmas) bytes += vma.length;
  std::string out = fmt::format("mapped        {} VMA{} at the start, {}\n", vmas.size(), vmas.size() == 1 ? "" : "s",
                                readable_bytes(bytes));
  std::stable_sort(vmas.begin(), vmas.end(), [](const auto& a, const auto& b) { return a.length > b.length; });
  for (std::size_t i = 0; i < std::min(kShown, vmas.size()); ++i)
    out += fmt::format("  {}  {}+{} {:<10} {}\n", vmas[i].pid, to_hex(vmas[i].address), to_hex(vmas[i].length),
                       readable_bytes(vmas[i].length), vmas[i].file ? vmas[i].name : "anonymous");
  if (vmas.size() > kShown) out += fmt::format("  and {} smaller ones\n", vmas.size() - kShown);
  return out;
}

}  // namespace

std::string summary_text(const TraceInfo& info, const TraceSummary& summary) {
  std::string out = fmt::format("trace         {} ({})\n", info.name, info.format);
  if (!info.program.empty()) out += fmt::format("program       {}\n", info.program);
  if (!info.command.empty()) out += fmt::format("command       {}\n", info.command);
  out += counts_text(info, summary) + processes_text(summary) + steps_text(info, summary) + vmas_text(summary.vmas);
  std::uint64_t events = 0;
  for (const auto& [op, n] : summary.events) events += n;
  out += fmt::format("events        {}\n", with_separators(events));
  for (const auto& [op, n] : summary.events) out += fmt::format("  {:<12}{}\n", name_of(op), with_separators(n));
  out += fmt::format("mappings      {}\n", info.has_mappings ? "recorded" : "inferred from what is touched");
  out += fmt::format("complete      {}\n", yes_no(info.complete));
  out += fmt::format("hash          {}\n", info.hash);
  for (const std::string& note : info.notes) out += fmt::format("note          {}\n", note);
  return out;
}

std::string item_text(const TraceItem& item, std::uint64_t& left) {
  if (const auto* event = std::get_if<TraceEvent>(&item)) {
    --left;
    return event_text(*event);
  }
  const TraceRun& run = std::get<TraceRun>(item);
  std::string out;
  for (std::size_t i = 0; i < run.records.size() && left > 0; ++i, --left) out += record_text(run, i);
  return out;
}

}  // namespace collapsar
