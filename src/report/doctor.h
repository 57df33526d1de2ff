// doctor: what stands between the logs and us, found by looking: files, rotation, loggers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/ingest.h"

namespace bounced::report {

enum class Health : std::uint8_t { ok, warning, trouble };
std::string_view to_string(Health health);  // "ok"

/// One thing that was looked at.
struct Finding {
  Health health = Health::ok;
  std::string what;  ///< "file", "rotation", "journald", ...
  std::string where;
  std::string why;   ///< what was found
  std::string hint;  ///< what to do about it; empty when well
};

/// A [[tail]] to be looked at.
struct DoctorSource {
  std::string name;
  std::vector<std::string> paths;  ///< globs, absolute
  std::string format;              ///< "auto", or a name
};

/// Every file that the source's paths name now: whether it can be read, what it holds, how far it
/// was applied. Reads at most 64 KiB of each.
std::vector<Finding> look_at_files(const DoctorSource& source, const ingest::PositionBook& known);

/// What logrotate's configuration (files and folders of it) does to the source's files. Lines may
/// be lost by copytruncate, `rotate 0`, `shred` and an `olddir` elsewhere.
std::vector<Finding> look_at_rotation(const DoctorSource& source,
                                      const std::vector<std::string>& configurations);

/// Rate limits of systemd's journal (journald.conf and the .conf files of folders beside it): what
/// a mail server writes beyond them is dropped before anybody can read it. Nothing where there is
/// none of the files.
std::vector<Finding> look_at_journal(const std::vector<std::string>& configurations);

/// The same for rsyslog's imjournal.
std::vector<Finding> look_at_rsyslog(const std::vector<std::string>& configurations);

/// A logrotate stanza for these paths that loses nothing.
std::string logrotate_stanza(const std::vector<std::string>& paths);

}  // namespace bounced::report
