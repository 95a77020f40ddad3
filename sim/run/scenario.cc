#include "sim/run/scenario.h"

#include "models/kernel/sysfs.h"

namespace collapsar {
namespace {

constexpr const char* kParked = "1000000000";  // scan_sleep_millisecs while parked: longer than any scenario

// What every case starts with (tests/oracle/README.md, `knob`).
constexpr std::pair<const char*, const char*> kDefaults[] = {{"enabled", "always"},
                                                             {"defrag", "madvise"},
                                                             {"use_zero_page", "1"},
                                                             {"shmem_enabled", "never"},
                                                             {"khugepaged/defrag", "1"},
                                                             {"khugepaged/pages_to_scan", "4096"},
                                                             {"khugepaged/alloc_sleep_millisecs", "60000"},
                                                             {"khugepaged/max_ptes_none", "511"},
                                                             {"khugepaged/max_ptes_swap", "64"},
                                                             {"khugepaged/max_ptes_shared", "256"}};

constexpr std::uint64_t kMostPasses = 300;  // of one until_full

const char* asleep_name(Khugepaged::State state) {
  switch (state) {
    case Khugepaged::State::stopped: return "no_thread";
    case Khugepaged::State::no_work: return "empty_queue";
    case Khugepaged::State::scan_sleep: return "between_scans";
    case Khugepaged::State::scanning:
    case Khugepaged::State::alloc_sleep: return "running";
  }
  return "running";
}

// The counters of /proc/vmstat that the recorder keeps.
struct CounterReader {
  ScenarioRecord::Counters found;
  template <class T>
  void operator()(const char* name, const T& value, const char*, const char*) {
    const std::string_view n = name;
    if (n.starts_with("thp_") || n == "pswpin" || n == "pswpout") found[name] = value;
  }
};

}  // namespace

ScenarioPlayer::ScenarioPlayer(const std::string& kernel_version, bool check)
    : machine_(kernel_version), record_(machine_.kernel()), check_(check) {}

ScenarioPlayer::~ScenarioPlayer() = default;

std::string ScenarioPlayer::play(const ScenarioScript& script) {
  park(kDefaults[5].second);
  passes_ = 0;
  machine_.kernel().set_observer(&record_);
  record_.begin_case(script.name, machine_.kernel().config().version);
  const ScenarioRecord::Counters before = counters();
  for (const Command& command : script.commands) do_command(command);
  ScenarioRecord::Counters changes;
  for (const auto& [name, value] : counters())
    if (value != before.at(name)) changes[name] = value - before.at(name);
  record_.counters(changes);
  record_.end_case(script.name);
  machine_.kernel().set_observer(nullptr);
  end_case();
  return record_.take();
}

// --- the daemon, one pass at a time ---

void ScenarioPlayer::must(const char* file, const std::string& value) {
  const int error = write_sysfs(machine_.kernel(), file, value);
  SIM_ASSERT(error == 0, "writing {} to {} fails with {}", value, file, error);
}

// Leaves khugepaged asleep between scans, its list empty and its cursor at the head: it scans a helper process to the
// end, which then exits.
void ScenarioPlayer::park(const std::string& alloc_sleep_ms) {
  for (const auto& [file, value] : kDefaults) must(file, value);
  must("khugepaged/alloc_sleep_millisecs", alloc_sleep_ms);
  must("khugepaged/pages_to_scan", "1000000");
  kick();
  Process keeper{.name = "", .task = machine_.new_process(), .pins = nullptr};
  const VirtAddr at{1ULL << 40};
  SyscallRequest map = ScenarioMachine::request(SyscallRequest::Op::mmap, keeper.task, at, kHugeBytes);
  map.prot = Vma::kRead | Vma::kWrite;
  map.map_flags = 0x22;  // MAP_PRIVATE | MAP_ANONYMOUS
  machine_.call(map);
  machine_.touch(keeper.task, at, Access::write);
  for (int i = 0; i < 3; ++i) kick();
  exit(keeper);
  must("khugepaged/pages_to_scan", "4096");
}

void ScenarioPlayer::kick() {
  must("khugepaged/scan_sleep_millisecs", kParked);
  machine_.settle();
}

// A process with `lock` has its mmap_lock held for write while the daemon runs.
void ScenarioPlayer::pass(const std::function<void()>& let_go) {
  const KhugepagedStats& stats = machine_.kernel().stats().khugepaged;
  const std::uint64_t collapsed = stats.pages_collapsed, full_scans = stats.full_scans;
  for (auto& p : processes_)
    if (p->is_locked) {
      const bool got_it = mm(*p).mmap_lock().try_write(LockOwner::syscall);
      SIM_ASSERT(got_it, "mmap_lock of {} is taken between commands", p->name);
    }
  record_.begin_pass(++passes_);
  let_go();
  record_.end_pass(stats.pages_collapsed - collapsed, stats.full_scans - full_scans,
                   asleep_name(machine_.kernel().khugepaged().state()));
  for (auto& p : processes_)
    if (p->is_locked) mm(*p).mmap_lock().release_write();
}

void ScenarioPlayer::passes(const Command& command) {
  const auto one = [this] { kick(); };
  if (command.op == Command::Op::wake) {
    for (std::uint64_t i = 0; i < command.count; ++i) pass(one);
  } else if (command.op == Command::Op::until_full) {
    const KhugepagedStats& stats = machine_.kernel().stats().khugepaged;
    const std::uint64_t goal = stats.full_scans + command.count;
    for (std::uint64_t i = 0; stats.full_scans < goal && i < kMostPasses; ++i) pass(one);
  } else {
    pass([&] {
      must("khugepaged/scan_sleep_millisecs", std::to_string(command.sleep / std::chrono::milliseconds(1)));
      machine_.run_for(command.duration);
      kick();
    });
  }
}

// --- commands ---

void ScenarioPlayer::do_command(const Command& command) {
  record_.at(command.line, command.process);
  using Op = Command::Op;
  if (command.op == Op::snap) return take_snapshots(command.word);
  if (command.op == Op::wake || command.op == Op::until_full || command.op == Op::run) return passes(command);
  const CallResult result = act(command);
  record_.command(command.text, result.rc, result.error);
  machine_.settle();
}

ScenarioPlayer::Process& ScenarioPlayer::process(const std::string& name) {
  for (auto& p : processes_)
    if (p->name == name) return *p;
  throw SimulationError(fmt::format("there is no process {}", name));
}

void ScenarioPlayer::take_snapshots(const std::string& label) {
  for (auto& p : processes_)
    if (p->is_alive) record_.snapshot(label, p->name, mm(*p));
}

void ScenarioPlayer::end_case() {
  for (auto& p : processes_)
    if (p->is_alive) exit(*p);
  processes_.clear();
  end_hog();
  machine_.settle();
  if (check_) machine_.kernel().check();
}

ScenarioRecord::Counters ScenarioPlayer::counters() {
  CounterReader reader;
  machine_.kernel().stats().vmstat.describe(reader);
  return reader.found;
}

}  // namespace collapsar
