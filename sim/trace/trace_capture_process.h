// A process of a recording, and how far it is.
#pragma once

#include "sim/trace/trace_capture.h"

namespace collapsar {

struct CaptureRecorder::Process {
  Process(std::uint32_t number, CaptureFetches fetches) : pid(number), words(fetches) {}
  std::uint32_t pid;  // in the trace
  std::uint32_t first_tid = 1;
  bool is_open = false;       // has a stream
  bool is_executing = false;  // has said so; the next image is to come
  bool has_exited = false;
  bool is_recorded = true;  // a forked child may be there without being recorded
  RawReferences words;
  CapturedSpace space;
  std::set<std::uint32_t> threads;  // there ever were
  std::set<std::uint32_t> running;  // of these
  // One that can speak for the process: its first, as long as that runs.
  std::uint32_t speaker() const {
    return running.empty() || running.contains(first_tid) ? first_tid : *running.begin();
  }
};

}  // namespace collapsar
