#include "sim/run/laws.h"

#include <fmt/format.h>

namespace collapsar {

namespace {

class Laws {
 public:
  explicit Laws(const StatTable& table) : table_(table) {}

  std::uint64_t operator[](std::string_view path) const {
    const StatRow* row = table_.find(path);
    return row ? row->integer() : 0;
  }
  std::uint64_t look_ups(const std::string& level) const {
    return (*this)[level + ".hits"] + (*this)[level + ".misses"];
  }

  void equal(std::string_view left, std::uint64_t n, std::string_view right, std::uint64_t m) {
    if (n != m) broken_.push_back(fmt::format("{} = {}: {} and {}", left, right, n, m));
  }
  void at_least(std::string_view left, std::uint64_t n, std::string_view right, std::uint64_t m) {
    if (n < m) broken_.push_back(fmt::format("{} >= {}: {} and {}", left, right, n, m));
  }
  // All rows "processes.<pid><end>".
  std::uint64_t over_processes(std::string_view end) const {
    std::uint64_t sum = 0;
    for (const StatRow& row : table_) {
      constexpr std::string_view kStart = "processes.";
      if (!row.path.starts_with(kStart)) continue;
      const std::size_t dot = row.path.find('.', kStart.size());
      if (std::string_view(row.path).substr(dot) == end) sum += row.integer();
    }
    return sum;
  }
  std::vector<std::string> take_broken() { return std::move(broken_); }

 private:
  const StatTable& table_;
  std::vector<std::string> broken_;
};

void tlb_laws(Laws& n, bool ideal_tlb) {
  n.at_least("TLB look-ups", n.look_ups("mmu.l1i") + n.look_ups("mmu.l1d"), "refs", n["refs"]);
  if (ideal_tlb) return;
  n.equal("mmu.l2 look-ups", n.look_ups("mmu.l2") + n.look_ups("mmu.l2i") + n.look_ups("mmu.l2d"), "mmu.l1 misses",
          n["mmu.l1i.misses"] + n["mmu.l1d.misses"]);
  n.equal("mmu.walks + mmu.walks_merged", n["mmu.walks"] + n["mmu.walks_merged"], "mmu.l2 misses + mmu.walks_repeated",
          n["mmu.l2.misses"] + n["mmu.l2i.misses"] + n["mmu.l2d.misses"] + n["mmu.walks_repeated"]);
}

void size_laws(Laws& n) {
  for (const std::string level : {"mmu.l1i", "mmu.l1d", "mmu.l2", "mmu.l2i", "mmu.l2d"})
    for (const std::string side : {".hits", ".misses"}) {
      const std::string path = level + side;
      const std::uint64_t by_size = n[path + ".4k"] + n[path + ".2m"] + n[path + ".1g"];
      if (side == ".hits") n.equal(path, n[path], path + " of all sizes", by_size);
      else n.at_least(path, n[path], path + " of all sizes", by_size);  // outside every VMA: no size
    }
}

// Every reference, look-up and walk is somebody's.
void process_laws(Laws& n) {
  for (const std::string path : {"refs", "instructions", "mmu.l1i.misses", "mmu.l1d.misses", "mmu.walks"})
    n.equal(path, n[path], path + " of all processes", n.over_processes("." + path));
}

}  // namespace

std::vector<std::string> broken_laws(const StatTable& table, bool ideal_tlb) {
  Laws n(table);
  n.equal("refs", n["refs"], "their kinds", n["refs.read"] + n["refs.write"] + n["refs.fetch"] + n["refs.kernel"]);
  tlb_laws(n, ideal_tlb);
  size_laws(n);
  process_laws(n);
  for (const std::string device : {"dram", "swap"})
    n.equal(device + ".submitted", n[device + ".submitted"], device + ".completed + in_flight",
            n[device + ".completed"] + n[device + ".in_flight"]);
  n.at_least("swap.completed", n["swap.completed"], "answers timed", n["swap.latency"]);
  n.at_least("khugepaged.scan.SCAN_SUCCEED", n["khugepaged.scan.SCAN_SUCCEED"], "khugepaged.pages_collapsed",
             n["khugepaged.pages_collapsed"]);
  return n.take_broken();
}

}  // namespace collapsar
