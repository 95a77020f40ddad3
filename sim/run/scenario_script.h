// ScenarioScript: a scenario file as a list of checked commands. The language is described in tests/oracle/README.md.
//
// Errors:      ScenarioError with file, line and column: an unknown command, a missing, surplus or impossible argument, a
//              process that was not started or has ended.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "models/kernel/memory_calls.h"
#include "sim/core/units.h"

namespace collapsar {

struct ScenarioError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// Where `heap` is: the first 2 MiB boundary behind the heap of the recorder's driver.
inline constexpr VirtAddr kScenarioHeap{0x600000};

struct ScenarioCommand {
  enum class Op : std::uint8_t {
    alloc_sleep,
    brk,
    clear_refs,
    exit,
    file,
    fork,
    hog,
    knob,
    lock,
    madvise,
    memcg,
    mlock,
    mmap,
    mprotect,
    mremap,
    munlock,
    munmap,
    pin,
    proc,
    run,
    snap,
    stack,
    thp,
    touch,
    uffd,
    unlock,
    unpin,
    until_full,
    wake
  } op = Op::proc;
  std::uint32_t line = 0;
  std::string text;              // as written, without comment
  std::string process, other;    // `other`: the child of a fork
  VirtAddr address{}, target{};  // `target`: of mremap
  std::uint64_t length = 0;      // bytes
  std::uint64_t new_length = 0;  // of mremap; `length` unless given
  std::uint64_t count = 1;       // pages to touch, passes
  std::uint64_t stride = 1;      // pages
  std::uint32_t prot = 3;        // PROT_* bits; rw unless given
  Advice advice = Advice::normal;
  bool is_write = false, is_shared = false, is_noreserve = false, is_on = false;
  std::string word, value;       // knob and value; label of a snapshot; mode of uffd
  Duration sleep{}, duration{};  // of run; `sleep` also of alloc_sleep
};

struct ScenarioScript {
  std::string name;  // of the file, without .scn
  std::vector<ScenarioCommand> commands;
};

ScenarioScript read_scenario(const std::string& path);
// The same from text; `path` is for the messages.
ScenarioScript parse_scenario(std::string_view text, const std::string& path);

}  // namespace collapsar
