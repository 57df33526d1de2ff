#include "population.h"

#include <array>
#include <string_view>

#include "random.h"

namespace bounced::bench {
namespace {

struct Consumer {
  std::string_view domain, provider, mx;
  std::uint16_t weight;
};

// MX "*" stands for mx<n>.<domain>; else <n> varies inside the name.
constexpr Consumer kConsumers[] = {
    {"gmail.com", "google", "alt#.gmail-smtp-in.l.google.com", 420},
    {"googlemail.com", "google", "gmail-smtp-in.l.google.com", 8},
    {"hotmail.com", "microsoft", "hotmail-com.olc.protection.outlook.com", 90},
    {"outlook.com", "microsoft", "outlook-com.olc.protection.outlook.com", 70},
    {"live.com", "microsoft", "live-com.olc.protection.outlook.com", 20},
    {"msn.com", "microsoft", "msn-com.olc.protection.outlook.com", 8},
    {"hotmail.co.uk", "microsoft", "eur.olc.protection.outlook.com", 10},
    {"hotmail.fr", "microsoft", "eur.olc.protection.outlook.com", 10},
    {"yahoo.com", "yahoo", "mta#.am0.yahoodns.net", 100},
    {"yahoo.co.uk", "yahoo", "mx-eu.mail.am0.yahoodns.net", 12},
    {"yahoo.fr", "yahoo", "mx-eu.mail.am0.yahoodns.net", 8},
    {"aol.com", "yahoo", "mx-aol.mail.gm0.yahoodns.net", 18},
    {"ymail.com", "yahoo", "mta#.am0.yahoodns.net", 4},
    {"icloud.com", "icloud", "mx0#.mail.icloud.com", 36},
    {"me.com", "icloud", "mx0#.mail.icloud.com", 6},
    {"mac.com", "icloud", "mx0#.mail.icloud.com", 2},
    {"gmx.de", "gmx", "mx0#.emig.gmx.net", 12},
    {"gmx.net", "gmx", "mx0#.emig.gmx.net", 6},
    {"web.de", "gmx", "mx-ha0#.web.de", 12},
    {"t-online.de", "tonline", "mx0#.t-online.de", 7},
    {"orange.fr", "orange", "smtp-in.orange.fr", 8},
    {"wanadoo.fr", "orange", "smtp-in.orange.fr", 4},
    {"free.fr", "free", "mx#.free.fr", 5},
    {"laposte.net", "laposte", "smtpz#.laposte.net", 3},
    {"mail.ru", "mailru", "mxs.mail.ru", 14},
    {"bk.ru", "mailru", "mxs.mail.ru", 2},
    {"yandex.ru", "yandex", "mx.yandex.ru", 9},
    {"qq.com", "qq", "mx#.qq.com", 16},
    {"163.com", "netease", "163mx0#.mxmail.netease.com", 8},
    {"126.com", "netease", "126mx0#.mxmail.netease.com", 3},
    {"comcast.net", "comcast", "mx#.mxge.comcast.net", 12},
    {"att.net", "att", "ff-ip4-mx-vip#.prodigy.net", 5},
    {"sbcglobal.net", "att", "ff-ip4-mx-vip#.prodigy.net", 4},
    {"cox.net", "cox", "cxr.mx.a.cloudfilter.net", 4},
    {"charter.net", "charter", "pkvw-mx.msg.pkvw.co.charter.net", 3},
    {"zohomail.com", "zoho", "mx#.zoho.com", 2},
    {"fastmail.com", "fastmail", "in#-smtp.messagingengine.com", 2},
    {"proton.me", "proton", "mail.protonmail.ch", 5},
    {"protonmail.com", "proton", "mail.protonmail.ch", 4},
    {"naver.com", "naver", "mx#.naver.com", 5},
    {"daum.net", "daum", "mx#.hanmail.net", 2},
    {"docomo.ne.jp", "docomo", "mfsmax.docomo.ne.jp", 4},
    {"biglobe.ne.jp", "biglobe", "*", 1},
    {"libero.it", "libero", "smtp-in.libero.it", 7},
    {"tiscali.it", "tiscali", "*", 2},
    {"uol.com.br", "uol", "mx.uol.com.br", 4},
    {"bol.com.br", "uol", "mx.bol.com.br", 2},
    {"terra.es", "terra", "*", 1},
    {"btinternet.com", "bt", "mx.bt.lon#.cpcloud.co.uk", 5},
    {"virginmedia.com", "virginmedia", "mx.mnd.mail.virginmedia.com", 3},
    {"bigpond.com", "bigpond", "extmail.bpbb.bigpond.com", 3},
    {"optusnet.com.au", "optus", "*", 2},
    {"shaw.ca", "shaw", "*", 2},
    {"rogers.com", "rogers", "mx-rogers.mail.am0.yahoodns.net", 2},
    {"seznam.cz", "seznam", "mx#.seznam.cz", 4},
    {"wp.pl", "wp", "mx.wp.pl", 4},
    {"onet.pl", "onet", "mx.poczta.onet.pl", 3},
    {"interia.pl", "interia", "mx.interia.pl", 2},
    {"abv.bg", "abv", "nx#.abv.bg", 2},
    {"rediffmail.com", "rediff", "mx.rediffmail.rediff.akadns.net", 3},
    {"hinet.net", "hinet", "msa-mx#.hinet.net", 2},
    {"telenet.be", "telenet", "mx.telenet-ops.be", 2},
    {"ziggo.nl", "ziggo", "mx.mnd.ukmail.iss.as9143.net", 2},
    {"kpnmail.nl", "kpn", "mxin.kpnmail.nl", 2},
    {"bluewin.ch", "bluewin", "mxbw.lb.bluewin.ch", 2},
    {"telia.com", "telia", "*", 2},
    {"posteo.de", "posteo", "mx0#.posteo.de", 1},
    {"tutanota.com", "tutanota", "mail.tutanota.de", 1},
};

struct Host {
  std::string_view provider, mx;
  std::uint16_t weight;
};
constexpr Host kCompanyHosts[] = {
    {"microsoft", "=.mail.protection.outlook.com", 340},
    {"google", "alt#.aspmx.l.google.com", 210},
    {"mimecast", "eu-smtp-inbound-#.mimecast.com", 50},
    {"proofpoint", "mxa-=.gslb.pphosted.com", 50},
    {"barracuda", "d=.ess.barracudanetworks.com", 35},
    {"ironport", "esa#.=.iphmx.com", 30},
    {"messagelabs", "cluster#.eu.messagelabs.com", 20},
    {"sophos", "mx-0#-eu.prod.hydra.sophos.com", 10},
    {"trendmicro", "=.in.tmes.trendmicro.eu", 10},
    {"forcepoint", "cust=.in.mailcontrol.com", 6},
    {"zoho", "mx#.zoho.eu", 15},
    {"godaddy", "mailstore#.secureserver.net", 30},
    {"rackspace", "mx#.emailsrvr.com", 15},
    {"ionos", "mx0#.ionos.de", 20},
    {"ovh", "mx#.mail.ovh.net", 20},
    {"postfix", "*", 50},
    {"exim", "*", 40},
    {"cpanel", "*", 20},
    {"sendmail", "*", 10},
    {"qmail", "*", 6},
    {"exchange", "*", 20},
    {"dovecot", "*", 8},
};

constexpr std::string_view kFirst[] = {
    "anna",    "ben",  "carla", "david",  "elena",  "felix", "greta",  "hugo",
    "ines",    "jan",  "katja", "leo",    "maria",  "nils",  "olga",   "paul",
    "quentin", "rosa", "sven",  "tara",   "ulrich", "vera",  "walter", "xenia",
    "yusuf",   "zoe",  "amir",  "bianca", "chen",   "dora",  "emil",   "fatima"};
constexpr std::string_view kLast[] = {
    "meier",   "schmidt", "garcia",   "rossi",   "dupont", "smith",   "jones",  "kim",
    "tanaka",  "novak",   "kowalski", "ivanova", "silva",  "santos",  "nguyen", "patel",
    "khan",    "yilmaz",  "jansen",   "larsen",  "berg",   "fischer", "weber",  "martin",
    "bernard", "petit",   "moreau",   "lopez",   "perez",  "costa",   "romano", "ricci"};
constexpr std::string_view kWords[] = {
    "alpen",  "baltic",  "cedar",   "delta", "elm",   "forge",  "grand", "harbor",
    "iron",   "juniper", "kestrel", "lumen", "maple", "north",  "ocean", "prime",
    "quarry", "river",   "summit",  "tower", "union", "valley", "west",  "yard",
    "zenith", "bright",  "clear",   "swift", "solid", "green",  "blue",  "silver"};
constexpr std::string_view kTrades[] = {
    "works",  "labs",  "foods",  "print",  "media",  "soft",   "trade",  "logistics",
    "dental", "legal", "school", "motors", "health", "travel", "energy", "design"};
constexpr std::string_view kEndings[] = {"com", "de", "co.uk",  "fr", "net", "org", "it", "nl",
                                         "es",  "pl", "com.br", "io", "ch",  "eu",  "us", "se"};
constexpr std::uint32_t kCompanies = 20'000;
constexpr std::uint32_t kBrands = 240;
// Of 100 recipients so many are at a consumer provider.
constexpr std::uint32_t kConsumerShare = 72;

std::string test_ip(std::uint64_t h) {
  // RFC 2544 benchmarking addresses and the documentation prefix of RFC 3849.
  const auto byte = [h](int shift) { return std::to_string((h >> shift) & 255); };
  if (h % 24 == 0) {
    return "2001:db8:" + byte(8) + ":" + byte(16) + "::" + byte(24);
  }
  return "198." + std::to_string(18 + (h & 1)) + "." + byte(8) + "." + byte(16);
}

std::string mx_name(std::string_view pattern, const std::string& domain, int n) {
  std::string name;
  if (pattern == "*") return "mx" + std::to_string(n) + "." + domain;
  for (const char c : pattern) {
    if (c == '#') {
      name += std::to_string(n);
    } else if (c == '=') {
      for (const char d : domain) name += d == '.' ? '-' : d;
    } else {
      name += c;
    }
  }
  return name;
}

std::uint8_t reply_of(std::string_view provider) {
  if (provider == "google") return 1;
  if (provider == "microsoft") return 2;
  if (provider == "yahoo") return 3;
  if (provider == "exim" || provider == "cpanel") return 4;
  return 0;
}

}  // namespace

Population::Population(const Diagnostics& diagnostics) {
  for (const Consumer& c : kConsumers) {
    wheel_.insert(wheel_.end(), c.weight, static_cast<std::uint16_t>(sites_.size()));
    add_site(diagnostics, std::string(c.domain), c.provider, c.mx);
  }
  consumer_sites_ = sites_.size();
  add_companies(diagnostics);
  for (std::uint32_t i = 0; i < kBrands; ++i) {
    const std::uint64_t h = mix(i + 7);
    brands_.push_back(std::string(kWords[h % 32]) + std::string(kTrades[(h >> 8) % 16]) +
                      std::to_string(i) + ".example");
  }
}

void Population::add_companies(const Diagnostics& diagnostics) {
  std::vector<std::uint16_t> hosts;
  for (std::size_t i = 0; i < std::size(kCompanyHosts); ++i) {
    hosts.insert(hosts.end(), kCompanyHosts[i].weight, static_cast<std::uint16_t>(i));
  }
  for (std::uint32_t i = 0; i < kCompanies; ++i) {
    const std::uint64_t h = mix(i);
    std::string domain(kWords[h % 32]);
    if ((h >> 5) % 3 == 0) domain += '-';
    domain += kTrades[(h >> 8) % 16];
    domain += std::to_string(i);
    domain += '.';
    domain += kEndings[(h >> 16) % 16];
    const Host& host = kCompanyHosts[hosts[(h >> 24) % hosts.size()]];
    add_site(diagnostics, std::move(domain), host.provider, host.mx);
  }
}

void Population::add_site(const Diagnostics& diagnostics, std::string domain,
                          std::string_view provider, std::string_view mx) {
  Site site;
  site.provider = diagnostics.provider(provider);
  site.reply = reply_of(provider);
  const int hosts = mx.find_first_of("*#") == std::string_view::npos ? 1 : 2;
  for (int i = 0; i < 4; ++i) {
    Relay relay;
    relay.host = mx_name(mx, domain, 1 + i % hosts);
    relay.ip = test_ip(mix(sites_.size() * 4 + static_cast<std::size_t>(i)));
    relay.bracketed = relay.host + "[" + relay.ip + "]";
    site.relays.push_back(std::move(relay));
  }
  site.domain = std::move(domain);
  sites_.push_back(std::move(site));
}

const Site& Population::site_of(std::uint32_t recipient) const {
  const std::uint64_t h = mix(recipient ^ 0x5bd1e995U);
  if (h % 100 < kConsumerShare) return sites_[wheel_[(h >> 8) % wheel_.size()]];
  // Squaring a uniform number prefers the first companies.
  const std::uint64_t u = (h >> 8) & 0xffffff;
  const std::uint64_t company = ((u * u) >> 24) * kCompanies >> 24;
  return sites_[consumer_sites_ + company];
}

void Population::put_local(LogWriter& out, std::uint32_t recipient) const {
  const std::uint64_t h = mix(recipient + 0x10001U);
  const std::string_view first = kFirst[h & 31];
  const std::string_view last = kLast[(h >> 5) & 31];
  switch ((h >> 10) & 3) {
    case 0:
      out.put(first).put('.').put(last);
      break;
    case 1:
      out.put(first[0]).put(last);
      break;
    case 2:
      out.put(last).put('_').put(first);
      break;
    default:
      out.put(first);
      break;
  }
  out.number(recipient);
  if ((h >> 12) % 64 == 0) out.put("+Shop");
}

void Population::put_address(LogWriter& out, std::uint32_t recipient) const {
  put_local(out, recipient);
  out.put('@').put(site_of(recipient).domain);
}

}  // namespace bounced::bench
