#include "base/batch.h"

#include <algorithm>

namespace bounced {

void ParseCounts::add(const ParseCounts& other) {
  lines += other.lines;
  bytes += other.bytes;
  ignored += other.ignored;
  unparsed += other.unparsed;
  foreign += other.foreign;
  oversize += other.oversize;
  bad_recipient += other.bad_recipient;
  lost_messages += other.lost_messages;
  loss_alarms += other.loss_alarms;
}

const Revision* Batch::revision(std::size_t at) const {
  const auto it = std::lower_bound(revisions.begin(), revisions.end(), at,
                                   [](const Revision& r, std::size_t n) { return r.at < n; });
  return it != revisions.end() && it->at == at ? &*it : nullptr;
}

void Batch::clear() {
  block.reset();
  events.clear();
  notes.clear();
  verdicts.clear();
  origins.clear();
  domains.clear();
  hosts.clear();
  providers.clear();
  keys.clear();
  local.clear();
  note_local.clear();
  joined = false;
  times = {};
  prepared.done = false;
  synthesised.clear();
  run.clear();
  revisions.clear();
  counts = {};
  sample_unparsed = -1;
  arena_.clear();
}

}  // namespace bounced
