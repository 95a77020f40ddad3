// TraceSummary: what a trace holds, counted by reading it once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/trace/trace.h"

namespace collapsar {

struct TraceSummary {
  struct Process {
    std::string program;
    std::uint64_t threads = 0, references = 0;
    std::uint64_t pages = 0, ranges = 0;  // touched, of 4 KiB and of 2 MiB
  };
  struct Step {                            // one tenth of the references
    std::uint64_t references = 0;          // up to its end
    std::int64_t stamp_ns = 0;             // there
    std::uint64_t pages = 0, touched = 0;  // by all processes: up to its end, and within it
  };
  std::array<std::uint64_t, 6> references{};  // by RefKind
  std::uint64_t instructions = 0, dependent = 0;
  std::map<TraceEvent::Op, std::uint64_t> events;
  std::map<std::uint32_t, Process> processes;  // that have references
  std::vector<Step> steps;
  std::vector<TraceEvent> vmas;  // mapped at the first reference
  std::int64_t span_ns = 0;
};

// Reads `source` to its end.
TraceSummary summarise(TraceSource& source);
std::string summary_text(const TraceInfo& info, const TraceSummary& summary);
// One line for each of the first `left` records of the item; `left` goes down.
std::string item_text(const TraceItem& item, std::uint64_t& left);

}  // namespace collapsar
