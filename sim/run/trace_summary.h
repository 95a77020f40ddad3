// TraceSummary: what a trace holds, counted by reading it once.
#pragma once

#include <map>
#include <set>
#include <string>

#include "sim/trace/trace.h"

namespace collapsar {

struct TraceSummary {
  std::array<std::uint64_t, 6> references{};  // by RefKind
  std::uint64_t instructions = 0, dependent = 0;
  std::map<TraceEvent::Op, std::uint64_t> events;
  std::set<std::pair<std::uint32_t, std::uint32_t>> threads;  // pid, tid
  std::map<std::uint32_t, std::uint64_t> pages;               // touched 4 KiB pages, by pid
  std::map<std::uint32_t, std::uint64_t> ranges;              // touched 2 MiB ranges, by pid
  std::int64_t span_ns = 0;
};

// Reads `source` to its end.
TraceSummary summarise(TraceSource& source);
std::string summary_text(const TraceInfo& info, const TraceSummary& summary);
// One line for each of the first `left` records of the item; `left` goes down.
std::string item_text(const TraceItem& item, std::uint64_t& left);
std::string_view name_of(TraceEvent::Op op);

}  // namespace collapsar
