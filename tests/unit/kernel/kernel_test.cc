#include "models/kernel/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "sim/core/random.h"
#include "tests/support/kernel_bench.h"

namespace collapsar::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using Op = KernelBench::Op;

constexpr std::uint64_t kArea = 8 * kHugePages;

TEST(Kernel, RefusesAnUnknownVersion) {
  BenchConfig config;
  config.kernel.version = "2.4";
  EXPECT_THROW(KernelBench bench(config), std::invalid_argument);
}

TEST(Kernel, ThpRaisesTheMinimumOfFreeMemory) {
  BenchConfig off, on;
  off.memory = on.memory = Bytes{kGiB};
  off.kernel.thp.enabled = ThpEnabled::never;
  KernelBench without(off), with(on);
  EXPECT_GT(with.memory.watermarks().min, without.memory.watermarks().min);
}

TEST(Kernel, AFreshKernelHoldsOneFrame) {
  KernelBench bench;
  EXPECT_EQ(bench.memory.total_pages() - bench.memory.free_pages(), 1U);  // the zero page
  bench.kernel.check();
}

// --- any mix of calls and faults, several at a time, leaves the books balanced ---

class Driver;

// What the threads of one run share.
struct Mix {
  KernelBench& bench;
  Random random;
  std::uint64_t actions_left;
  std::uint32_t next_pid = 2;
  std::vector<std::unique_ptr<Driver>> threads;
};

// One thread that does one random thing after another.
class Driver {
 public:
  Driver(Mix& mix, TaskId task) : mix_(mix), bench_(mix.bench), random_(mix.random), task_(task) {
    bench_.queue.schedule(next_, bench_.queue.now() + microseconds(1 + random_.below(20)));
  }
  ~Driver() { bench_.queue.cancel(next_); }
  bool idle() const { return idle_; }

 private:
  void next() {
    if (forked_) mix_.threads.push_back(std::make_unique<Driver>(mix_, call_.new_task));
    forked_ = false;
    idle_ = mix_.actions_left == 0 || gone_;
    if (idle_) return;
    --mix_.actions_left;
    if (random_.chance(0.7)) return fault();
    call();
  }

  void fault() {
    fault_ = {.task = task_,
              .cpu = 0,
              .va = kBase + random_.below(kArea * kPageBytes),
              .access = random_.chance(0.7) ? Access::write : Access::read,
              .done = &next_};
    bench_.kernel.faults().handle_fault(fault_);
  }

  void call() {
    make_call();
    if (call_.op == Op::mremap) trim_to_vma();
    if (call_.op == Op::fork && mix_.threads.size() > 6) call_.op = Op::clear_refs;
    // All other threads of a process end before it does.
    const bool ends_image = call_.op == Op::exit || call_.op == Op::exec;
    if (ends_image && bench_.kernel.processes().of(task_).tasks.size() > 1) {
      call_.op = Op::mmap;
      call_.address = kBase.value;
      call_.length = kArea * kPageBytes;
    }
    forked_ = call_.op == Op::fork;
    gone_ = call_.op == Op::exit;
    if (forked_) call_.value = mix_.next_pid++;
    call_.done = &next_;
    bench_.kernel.syscalls().syscall(call_);
  }

  void make_call() {
    constexpr Op kOps[] = {Op::mmap,    Op::mmap,       Op::munmap,  Op::mprotect, Op::mremap,
                           Op::madvise, Op::madvise,    Op::madvise, Op::madvise,  Op::mlock,
                           Op::munlock, Op::clear_refs, Op::fork,    Op::exit,     Op::exec};
    constexpr Advice kAdvice[] = {Advice::dontneed,      Advice::free,          Advice::cold,     Advice::pageout,
                                  Advice::hugepage,      Advice::nohugepage,    Advice::willneed, Advice::collapse,
                                  Advice::populate_read, Advice::populate_write};
    const bool is_aligned = random_.chance(0.5);
    const VirtAddr address = kBase + random_.below(kArea) * kPageBytes;
    const VirtAddr target = kBase + (kArea + random_.below(kArea)) * kPageBytes;
    call_ = KernelBench::request(
        kOps[random_.below(std::size(kOps))], task_, is_aligned ? huge_base(address) : address,
        is_aligned ? kHugeBytes * (1 + random_.below(2)) : (1 + random_.below(2 * kHugePages)) * kPageBytes);
    if (random_.chance(0.2)) call_.map_flags = KernelBench::kSharedAnon;
    if (random_.chance(0.2)) call_.map_flags = 2, call_.file = 1 + random_.below(2), call_.name = "/f";  // MAP_PRIVATE
    if (random_.chance(0.3)) call_.prot = std::uint32_t(random_.below(4));
    if (call_.op == Op::mlock) call_.length = 3 * kPageBytes;
    call_.advice = std::uint32_t(kAdvice[random_.below(std::size(kAdvice))]);
    call_.new_address = (random_.chance(0.5) ? huge_base(target) : target).value;
    call_.new_length = call_.length;
  }

  // A program moves what lies in one mapping.
  void trim_to_vma() {
    const Vma* vma = bench_.mm(task_).find({call_.address});
    if (!vma) return;
    call_.length = std::min(call_.length, vma->range.end.value - call_.address);
    call_.new_length = call_.length;
  }

  Mix& mix_;
  KernelBench& bench_;
  Random& random_;
  TaskId task_;
  bool forked_ = false, gone_ = false, idle_ = false;
  FaultRequest fault_;
  SyscallRequest call_;
  Event next_ = event<&Driver::next>(this, "test.driver", Phase::cpu);
};

BenchConfig config_of_mix(int seed, const char* version) {
  BenchConfig config;
  config.memory = Bytes{(seed % 2 ? 28 : 128) * kMiB};  // every other one is short of memory
  config.swap.size = Bytes{128 * kMiB};
  config.swap.device = seed % 3 ? SwapKind::nvme : SwapKind::ideal;
  config.kernel.version = version;
  config.kernel.thp.enabled = ThpEnabled::always;
  config.kernel.thp.at_fault = seed % 4 != 3;
  config.kernel.khugepaged.scan_sleep = milliseconds(1);
  config.kernel.khugepaged.alloc_sleep = milliseconds(2);
  return config;
}

struct AnyMix : testing::TestWithParam<std::tuple<int, const char*>> {};

TEST_P(AnyMix, KeepsEveryLaw) {
  const auto [seed, version] = GetParam();
  KernelBench bench(config_of_mix(seed, version));
  bench.kernel.start();
  Mix mix{.bench = bench, .random = Random(std::uint64_t(seed), "any mix"), .actions_left = 3000, .threads = {}};
  const TaskId first = bench.process();
  bench.map(first, kBase, kArea * kPageBytes);
  const SyscallRequest thread = bench.now(KernelBench::request(Op::thread, first));
  for (TaskId task : {first, thread.new_task}) mix.threads.push_back(std::make_unique<Driver>(mix, task));
  const auto all_idle = [&] { return std::ranges::all_of(mix.threads, [](const auto& t) { return t->idle(); }); };
  for (std::uint64_t i = 0; !all_idle(); ++i) {
    ASSERT_TRUE(bench.queue.run_one());
    ASSERT_LT(bench.queue.now(), Time(std::chrono::seconds(1000))) << "a call never returned";
    if (i % 4096 == 0) bench.kernel.check(/*at_rest=*/false);
  }
  do bench.wait(microseconds(100));
  while (!bench.kernel.khugepaged().asleep() || bench.swap.in_flight() > 0);
  bench.kernel.check();
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnyMix, testing::Combine(testing::Range(0, 12), testing::Values("6.1", "6.12")));

}  // namespace
}  // namespace collapsar::test
