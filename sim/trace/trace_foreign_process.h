// What a foreign trace has told of its processes and threads so far.
//
// Models:      KnownThreads notices a thread that nobody has created. A process that the file describes (a process event,
//              or a fork's child) creates its threads itself; any other has one thread at the start, and each further one
//              is created before its first item.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "sim/trace/trace_infer.h"

namespace collapsar {

// One process, as the first pass finds it.
struct ForeignProcess {
  std::uint32_t tid = 1;  // its first thread
  std::string name;
  bool is_described = false;  // by a process event, or as a fork's child
  bool has_items = false, has_calls = false;
  std::uint64_t heap_start = 0, heap_end = 0;
  TouchedRanges unmapped;  // touched where no system call had mapped
  MappedRanges mapped;
  std::uint64_t last_page = ~0ULL;
};

class KnownThreads {
 public:
  // The event that creates the thread; nullopt if it is known, or the first of its process.
  std::optional<TraceEvent> meet(std::uint32_t pid, std::uint32_t tid) {
    if (described_.contains(pid) || !threads_.emplace(pid, tid).second) return std::nullopt;
    const auto [first, is_first] = first_of_.try_emplace(pid, tid);
    if (is_first) return std::nullopt;
    TraceEvent e;
    e.op = TraceEvent::Op::thread, e.pid = pid, e.tid = first->second, e.value = tid;
    return e;
  }
  void meet(const TraceEvent& e) {
    if (e.op == TraceEvent::Op::process) described_.insert(e.pid);
    if (e.op == TraceEvent::Op::fork) described_.insert(static_cast<std::uint32_t>(e.value));
    if (e.op == TraceEvent::Op::thread) threads_.emplace(e.pid, static_cast<std::uint32_t>(e.value));
  }
  bool is_described(std::uint32_t pid) const { return described_.contains(pid); }
  std::size_t size() const { return threads_.size() + described_.size(); }

 private:
  std::set<std::pair<std::uint32_t, std::uint32_t>> threads_;
  std::map<std::uint32_t, std::uint32_t> first_of_;
  std::set<std::uint32_t> described_;
};

}  // namespace collapsar
