// A run beside the interpreter: it has a thread of its own, and the calling one sleeps and looks for signals now and then, so
// that other Python threads go on, and Ctrl-C ends the run.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <future>

#include "sim/run/experiment.h"

namespace collapsar {

inline constexpr auto kSignalInterval = std::chrono::milliseconds(100);  // host time; too short for a person to notice

// References from a NumPy array. Each variant replays a copy.
struct ArrayTrace {
  std::vector<Record> records;
  std::string name;
};

// For RunOptions::open_trace; nothing where there is no array.
inline TraceMaker maker_of(const ArrayTrace* trace) {
  if (!trace) return {};
  return [trace] { return make_memory_trace(trace->records, {}, trace->name); };
}

struct Stopped : std::exception {};

// To be called now and then by what runs: throws Stopped once a signal has come.
using StopTest = std::function<void()>;

// Sleeps until `running` is done. Requires: the interpreter is released. Throws what a signal handler raised.
template <class T>
void wait_for(std::future<T>& running, std::atomic<bool>& stop) {
  while (running.wait_for(kSignalInterval) != std::future_status::ready) {
    const pybind11::gil_scoped_acquire hold;
    if (PyErr_CheckSignals() == 0) continue;
    pybind11::error_already_set raised;
    stop = true;
    const pybind11::gil_scoped_release free;
    running.wait();
    throw raised;
  }
}

// Calls `work(stop)` in a thread, and returns what it returns. Requires: the interpreter is held.
template <class T, class Work>
T run_beside(Work work) {
  std::atomic<bool> stop = false;
  const StopTest test = [&stop] {
    if (stop) throw Stopped();
  };
  const pybind11::gil_scoped_release free;
  std::future<T> running = std::async(std::launch::async, [&] { return work(test); });
  wait_for(running, stop);
  return running.get();
}

}  // namespace collapsar
