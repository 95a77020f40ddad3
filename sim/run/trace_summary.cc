#include "sim/run/trace_summary.h"

#include <unordered_set>

#include "sim/run/report_format.h"

namespace collapsar {

namespace {

// Pages a process has touched. Most references stay on the page of the one before.
class Footprint {
 public:
  void touch(const Record& record) {
    const std::uint64_t first = record.va >> kPageShift, last = (record.va + record.size - 1) >> kPageShift;
    if (first == last_ && last == last_) return;
    for (std::uint64_t page = first; page <= last; ++page)
      if (pages_.insert(page).second) ranges_.insert(page >> kHugeOrder);
    last_ = last;
  }
  std::uint64_t pages() const { return pages_.size(); }
  std::uint64_t ranges() const { return ranges_.size(); }

 private:
  std::unordered_set<std::uint64_t> pages_, ranges_;
  std::uint64_t last_ = ~0ULL;
};

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

std::string_view name_of(TraceEvent::Op op) {
  using Op = TraceEvent::Op;
  switch (op) {
    case Op::process: return "process";
    case Op::vma: return "vma";
    case Op::stack_room: return "stack_room";
    case Op::heap_room: return "heap_room";
    case Op::mmap: return "mmap";
    case Op::munmap: return "munmap";
    case Op::mprotect: return "mprotect";
    case Op::madvise: return "madvise";
    case Op::mlock: return "mlock";
    case Op::munlock: return "munlock";
    case Op::mremap: return "mremap";
    case Op::brk: return "brk";
    case Op::thp_disable: return "thp_disable";
    case Op::fork: return "fork";
    case Op::thread: return "thread";
    case Op::exec: return "exec";
    case Op::thread_exit: return "thread_exit";
    case Op::exit: return "exit";
    case Op::idle: return "idle";
    case Op::clear_refs: return "clear_refs";
    case Op::truncated: return "truncated";
  }
  return "unknown";
}

TraceSummary summarise(TraceSource& source) {
  TraceSummary summary;
  std::map<std::uint32_t, Footprint> footprints;
  while (const std::optional<TraceItem> item = source.next()) {
    if (const auto* event = std::get_if<TraceEvent>(&*item)) {
      ++summary.events[event->op];
      summary.span_ns = std::max(summary.span_ns, event->stamp_ns);
      continue;
    }
    const TraceRun& run = std::get<TraceRun>(*item);
    summary.threads.emplace(run.pid, run.tid);
    summary.span_ns = std::max(summary.span_ns, run.end_ns);
    Footprint& footprint = footprints[run.pid];
    for (const Record& record : run.records) {
      ++summary.references[std::size_t(record.kind)];
      summary.instructions += record.instructions;
      summary.dependent += record.flags & Record::kDependsOnLoad;
      footprint.touch(record);
    }
  }
  for (const auto& [pid, footprint] : footprints)
    summary.pages[pid] = footprint.pages(), summary.ranges[pid] = footprint.ranges();
  return summary;
}

std::string summary_text(const TraceInfo& info, const TraceSummary& summary) {
  std::string out = fmt::format("trace         {} ({})\n", info.name, info.format);
  if (!info.program.empty()) out += fmt::format("program       {}\n", info.program);
  if (!info.command.empty()) out += fmt::format("command       {}\n", info.command);
  std::uint64_t references = 0, events = 0;
  for (std::uint64_t n : summary.references) references += n;
  for (const auto& [op, n] : summary.events) events += n;
  out += fmt::format("references    {}", with_separators(references));
  const char* separator = ": ";
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (summary.references[i] == 0) continue;
    out += fmt::format("{}{} {}", separator, with_separators(summary.references[i]), kKinds[i]);
    separator = ", ";
  }
  out += fmt::format("\ninstructions  {}{}\n", with_separators(summary.instructions),
                     info.has_instructions ? "" : " (estimated)");
  out += fmt::format("dependent     {}\n", info.has_dependence ? with_separators(summary.dependent) : "not recorded");
  out += fmt::format("span          {}\n", info.has_stamps ? readable_time(double(summary.span_ns)) : "no time stamps");
  out += fmt::format("processes     {}, threads {}\n", summary.pages.size(), summary.threads.size());
  for (const auto& [pid, pages] : summary.pages)
    out += fmt::format("footprint     process {}: {}\n", pid, footprint_text(pages, summary.ranges.at(pid)));
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
