// ScenarioRecord: what the simulated kernel did, as the JSON lines of the oracle's recorder.
//
// Models:      the recorder's own view: it learns of a visit from the first VMA that khugepaged looks at, and does not see
//              VMAs that 6.12 and later turn away by the sysfs mode alone; `vmas_skipped` counts what it saw.
// Time:        none.
// Source:      tests/oracle/README.md (format), tests/oracle/driver.c (what is derived from what).
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "models/kernel/kernel.h"
#include "models/kernel/observer.h"

namespace collapsar {

class ScenarioRecord : public KernelObserver {
 public:
  explicit ScenarioRecord(Kernel& kernel) : kernel_(kernel) {}

  // The text so far, one JSON record a line; the record is empty afterwards.
  std::string take() { return std::exchange(text_, {}); }

  void begin_case(const std::string& name, const std::string& release);
  void end_case(const std::string& name);
  // Commands that follow stand in this line and are done by this process (empty: by none of the scenario's).
  void at(std::uint32_t line, const std::string& actor);
  void name(const AddressSpace& mm, const std::string& process) { names_[mm.asid()] = process; }
  // The next mm that registers and has no name is this child's.
  void expect_child(const std::string& process) { child_ = process; }
  void command(const std::string& text, std::int64_t rc, int error);
  void begin_pass(std::uint32_t number);
  void end_pass(std::uint64_t collapsed, std::uint64_t full_scans, const char* asleep);
  void snapshot(const std::string& label, const std::string& process, AddressSpace& mm);
  using Counters = std::map<std::string, std::uint64_t>;
  void counters(const Counters& changes);

  void entered(const AddressSpace& mm) override;
  void left(const AddressSpace& mm) override;
  void vma_looked_at(const AddressSpace& mm, const Vma& vma, bool is_eligible) override;
  void pmd_scanned(const PmdScan& scan) override;
  void file_scanned(const FileScan& scan) override;
  void pte_mapped(const AddressSpace& mm, VirtAddr base, bool by_khugepaged, ScanResult status) override;
  void busy(const AddressSpace& mm, bool write) override;

 private:
  using Json = nlohmann::ordered_json;
  Json event(const char* type) const;
  Json scan_event(const char* type, const AddressSpace& mm, VirtAddr base, bool by_khugepaged) const;
  void write(const Json& record) { text_ += record.dump() + '\n'; }
  std::string name_of(const AddressSpace& mm) const;
  bool is_seen(const Vma& vma) const;
  void leave_vma();
  unsigned swapin_code(ScanResult result) const;
  Json vma_of(AddressSpace& mm, const Vma& vma) const;
  bool is_readable(VirtAddr base) const;
  Json window(AddressSpace& mm, VirtAddr base) const;

  Kernel& kernel_;
  std::string text_, actor_, child_;
  std::map<Asid, std::string> names_;
  std::uint32_t line_ = 0, wake_ = 0;
  // The VMA loop of the present pass, as far as it was seen.
  struct Loop {
    VirtRange vma{};
    Asid asid = 0;
    bool is_eligible = false, was_scanned = false, lock_dropped = false;
    std::uint32_t visits = 0, skipped = 0, empty = 0, ranges = 0;
  } loop_;
};

}  // namespace collapsar
