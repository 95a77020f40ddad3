// Scenario: plays scripted address-space histories on the simulated kernel, as the oracle's recorder has a real one act
// them out, and writes the same records.
//
// Models:      the recorder (tests/oracle/driver.c): khugepaged parked between scans and let go for one pass at a time; one
//              boot for all scenarios of one player, so that what outlives a case (the huge zero page) does.
// Source:      tests/oracle/README.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "sim/run/scenario_machine.h"
#include "sim/run/scenario_record.h"
#include "sim/run/scenario_script.h"

namespace collapsar {

class ScenarioPlayer {
 public:
  // Throws ConfigError for a version without rules.
  // `check`: the kernel's books are held against its page tables after each scenario.
  explicit ScenarioPlayer(const std::string& kernel_version, bool check = false);
  ~ScenarioPlayer();
  // Plays one scenario. Returns its records, one JSON object a line.
  std::string play(const ScenarioScript& script);

 private:
  using Command = ScenarioCommand;
  struct PinPipe;
  struct Process {
    std::string name;
    TaskId task = 0;
    bool is_alive = true, is_locked = false;
    std::shared_ptr<PinPipe> pins;  // shared with children, as the file descriptors are
    Process* uffd_owner = nullptr;  // whose address space its userfaultfd watches
  };

  // scenario.cc: the case, passes
  void park(const std::string& alloc_sleep_ms);
  void do_command(const Command& command);
  CallResult act(const Command& command);
  void passes(const Command& command);
  void pass(const std::function<void()>& let_go);
  void kick();
  void take_snapshots(const std::string& label);
  void end_case();
  ScenarioRecord::Counters counters();
  Process& process(const std::string& name);
  AddressSpace& mm(Process& p) { return machine_.mm(p.task); }
  void must(const char* file, const std::string& value);

  // scenario_calls.cc: one command each
  CallResult knob(const Command& command);
  CallResult start(const Command& command);
  CallResult fork(const Command& command);
  CallResult exit(Process& p);
  CallResult mmap(const Command& command);
  CallResult file(const Command& command);
  CallResult mremap(const Command& command);
  CallResult madvise(const Command& command);
  CallResult brk(const Command& command);
  CallResult stack(const Command& command);
  CallResult thp(const Command& command);
  CallResult ranged(SyscallRequest::Op op, const Command& command);
  CallResult touch(const Command& command);
  CallResult pin(const Command& command);
  CallResult lock(Process& p);
  CallResult unlock(Process& p);
  CallResult uffd(const Command& command);
  CallResult memcg(const Command& command);

  // scenario_hog.cc
  struct Hog {
    std::uint64_t min_free;  // pages, before
    std::vector<Pfn> huge;   // kept as huge pages of the machine
  };
  CallResult hog(const Command& command);
  void keep_huge(std::uint64_t blocks);
  void give_back_huge();
  void end_hog();

  ScenarioMachine machine_;
  ScenarioRecord record_;
  std::vector<std::unique_ptr<Process>> processes_;  // of this case, in order of their start
  std::optional<Hog> hog_;
  bool check_;
  std::uint32_t passes_ = 0;
  FileId next_file_ = 1000;  // above those of the driver's image
};

}  // namespace collapsar
