"""The look of the HTML report: one style sheet, light and dark, screen, phone and paper."""

STYLE = """
:root{--bg:#f4f6f8;--card:#fff;--ink:#17212b;--soft:#546270;--line:#dce2e8;--accent:#1f5fbf;--accent-soft:#1f5fbf2e;
--ref:#76828f;--ref-soft:#76828f3d;--ok:#0f6b45;--ok-bg:#e3f4ea;--bad:#b3261e;--bad-bg:#fdeae8;--warn:#7a5200;--warn-bg:#fdf1d8;
--note:#3d4c5c;--note-bg:#e9edf2;--l1:#b3590f;--l2:#7a3fa3;--l3:#0b7a75;--l4:#a32b5c}
@media (prefers-color-scheme:dark){:root{--bg:#0e141a;--card:#161e27;--ink:#e7edf3;--soft:#9fadbb;--line:#2a3643;
--accent:#74abff;--accent-soft:#74abff33;--ref:#8b98a6;--ref-soft:#8b98a64d;--ok:#5ad19a;--ok-bg:#12301f;--bad:#ff9489;--bad-bg:#3a1917;
--warn:#f3bf5e;--warn-bg:#33270f;--note:#b7c3cf;--note-bg:#222d38;--l1:#f0a261;--l2:#c79bea;--l3:#5fcdc5;--l4:#f08fb6}}
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.page{max-width:1080px;margin:0 auto;padding:24px 20px 48px}
h1,h2,h3,h4,p,dl,figure{margin:0}
h1{font-size:26px;line-height:1.25;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:19px;margin:36px 0 12px;letter-spacing:-.005em}
h3{font-size:15.5px;font-weight:650;display:inline}
h3.block{display:block;margin:20px 0 10px}h4{font-size:14px;font-weight:650;margin:18px 0 8px}
a{color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-999px}.skip:focus{left:12px;top:8px;background:var(--card);padding:6px 12px}
.verdict{background:var(--card);border:1px solid var(--line);border-left:8px solid var(--ok);border-radius:12px;padding:22px 24px}
.verdict.bad{border-left-color:var(--bad)}
.verdict .word{display:flex;align-items:center;gap:10px;font-weight:700;font-size:15px;color:var(--ok);margin-bottom:6px}
.verdict.bad .word{color:var(--bad)}
.verdict .lead{margin-top:8px;color:var(--soft);max-width:70ch}
.sign{flex:none;width:26px;height:26px}
.facts{display:flex;flex-wrap:wrap;gap:6px 28px;margin-top:16px}
.facts div{min-width:0}.facts dt,.tile dt{font-size:12.5px;color:var(--soft)}.facts dd{margin:0;font-weight:600;overflow-wrap:anywhere}
nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:0;margin:14px 4px 0;font-size:14px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 20px}
.todo{list-style:none;margin:0;padding:0;display:grid;gap:10px}
.todo li{background:var(--card);border:1px solid var(--line);border-left:5px solid var(--bad);border-radius:10px;padding:12px 16px}
.todo.warn li{border-left-color:var(--warn)}
.todo .where{display:flex;gap:10px;align-items:center;flex-wrap:wrap;font-size:13px;color:var(--soft)}
.todo .said{font-weight:600;overflow-wrap:anywhere}
.todo .next{margin-top:4px}.todo .next b{font-weight:650}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,200px),1fr));gap:12px;margin:0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px;min-width:0}
.tile dd{margin:0}.tile dt{display:flex;justify-content:space-between;gap:8px;align-items:center;flex-wrap:wrap}.tile .big{font-size:25px;font-weight:650;letter-spacing:-.02em;margin:2px 0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.tile .gauge{margin:0 6px 0 8px}.tile .under{font-size:13px;color:var(--soft);font-variant-numeric:tabular-nums}
.badge{display:inline-flex;align-items:center;gap:5px;border-radius:999px;padding:1px 9px 1px 7px;font-size:12.5px;font-weight:650;white-space:nowrap;background:var(--note-bg);color:var(--note)}
.badge.passed{background:var(--ok-bg);color:var(--ok)}.badge.failed,.badge.inconclusive{background:var(--bad-bg);color:var(--bad)}
.badge.warning{background:var(--warn-bg);color:var(--warn)}
details.check{background:var(--card);border:1px solid var(--line);border-radius:12px;margin-bottom:10px}
details.check>summary{padding:12px 18px;cursor:pointer;display:flex;gap:6px 12px;align-items:center;flex-wrap:wrap;list-style:none;border-radius:12px}
details.check>summary::-webkit-details-marker{display:none}
details.check>summary::after{content:"";margin-left:auto;width:8px;height:8px;border-right:2px solid var(--soft);border-bottom:2px solid var(--soft);transform:rotate(45deg) translate(-2px,-2px)}
details.check[open]>summary::after{transform:rotate(225deg) translate(-3px,-3px)}
.count{color:var(--soft);font-size:13.5px}
.inside{padding:0 18px 18px}
.reason{color:var(--soft);margin-bottom:12px;max-width:75ch}
details.more{margin-top:10px}details.more>summary{cursor:pointer;color:var(--accent);font-size:14px;padding:4px 0}
table{border-collapse:collapse;width:100%;font-size:14px}
.unseen{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden;white-space:nowrap}caption{text-align:left;color:var(--soft);font-size:13px;padding:0 0 6px}
th{font-weight:600;color:var(--soft);font-size:12.5px;text-align:left;padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:bottom}
td,tbody th{padding:7px 10px;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
tbody th{font-size:14px;color:var(--ink);min-width:9em}
tr:last-child>td,tr:last-child>th{border-bottom:0}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.num{overflow-wrap:normal}
.say{color:var(--soft);min-width:12em}
.room{white-space:nowrap}.gauge{width:74px;height:9px;margin-left:8px;vertical-align:0}
.gauge .base{fill:var(--line)}.gauge .good{fill:var(--ok)}.gauge .poor{fill:var(--bad)}.gauge .mid{stroke:var(--soft);stroke-width:1.5}
.figures{display:grid;grid-template-columns:minmax(0,1fr);gap:14px;margin-top:16px}
.figures.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr))}
figure{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px 8px;min-width:0;break-inside:avoid}
figcaption{font-weight:600;font-size:14px;display:flex;flex-wrap:wrap;gap:2px 14px;align-items:baseline;margin-bottom:6px;overflow-wrap:anywhere}
figcaption .count,figcaption .keys{font-weight:400}figcaption .keys{font-size:12.5px;color:var(--soft);display:flex;gap:2px 12px;flex-wrap:wrap}
figure .under{font-size:13px;color:var(--soft);margin-top:4px;overflow-wrap:anywhere}
.chart{display:grid;grid-template-columns:52px minmax(0,1fr);column-gap:8px}
svg.sheet{display:block;overflow:visible}
svg text{font-size:12px;fill:var(--soft);font-family:inherit}
svg text.name{fill:var(--ink);font-size:13px}
svg .start{text-anchor:start}svg .middle{text-anchor:middle}svg .end{text-anchor:end}
svg path,svg line{vector-effect:non-scaling-stroke}
svg .grid{stroke:var(--line);stroke-width:1;fill:none}
svg .line{fill:none;stroke-width:1.6;stroke-linejoin:round}
svg .line.current,svg .line.l0{stroke:var(--accent)}svg .line.actual{stroke:var(--ink);stroke-width:2;opacity:.6}
svg .line.l1{stroke:var(--l1);stroke-dasharray:6 3}svg .line.l2{stroke:var(--l2);stroke-dasharray:2 3}
svg .line.l3{stroke:var(--l3);stroke-dasharray:8 3 2 3}svg .line.l4,svg .line.l5{stroke:var(--l4);stroke-dasharray:4 4}
svg .line.zero{stroke:var(--soft);stroke-width:1.2}svg .line.limit{stroke:var(--bad);stroke-dasharray:5 4}
svg .line.whisker{stroke:var(--ink);stroke-width:1.4}
svg .line.spread{stroke:var(--accent);stroke-width:4;stroke-linecap:round;opacity:.55}
svg .area.reference{fill:var(--ref-soft);stroke:var(--ref);stroke-width:1;stroke-dasharray:3 2}
svg .area.current{fill:var(--accent-soft);stroke:var(--accent);stroke-width:1.3}
svg .area.band{fill:var(--accent-soft);stroke:none}
svg .bar.reference{fill:var(--ref)}svg .bar.current{fill:var(--accent)}svg .dots{stroke:var(--accent);stroke-width:4;stroke-linecap:round;opacity:.5;fill:none}
svg .dot{fill:var(--accent);stroke:var(--card);stroke-width:1.5}
.key{display:inline-flex;gap:5px;align-items:center}.key svg{width:20px;height:10px;flex:none}
dl.facts2{display:grid;grid-template-columns:minmax(8em,max-content) minmax(0,1fr);gap:4px 18px;font-size:14px}
dl.facts2 dt{color:var(--soft)}dl.facts2 dd{margin:0;overflow-wrap:anywhere}
dl.facts2 dl.facts2{font-size:13.5px;border-left:2px solid var(--line);padding-left:12px}
.notes{margin:0;padding-left:20px}.notes li{overflow-wrap:anywhere;margin:3px 0}
.source{display:inline-block;border:1px solid var(--line);border-radius:6px;padding:0 7px;font-size:12.5px;color:var(--soft)}
.source.own{color:var(--accent);border-color:var(--accent)}
footer{margin-top:40px;color:var(--soft);font-size:13px}
@media (max-width:640px){.page{padding:12px 10px 32px}h1{font-size:21px}.verdict{padding:16px}.card{padding:14px}.inside{padding:0 12px 14px}
details.check>summary{padding:12px}
svg .tick.odd{display:none}
table.stack thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
table.stack,table.stack tbody,table.stack tr,table.stack td,table.stack tbody th{display:block;width:100%}
table.stack tr{border-bottom:1px solid var(--line);padding:8px 0}table.stack tr:last-child{border-bottom:0}
table.stack td,table.stack tbody th{border:0;padding:2px 0;min-width:0}
table.stack td.num,table.stack td.label{display:flex;justify-content:space-between;align-items:center;gap:12px;text-align:right;white-space:normal}
table.stack td[data-label]::before{content:attr(data-label);color:var(--soft);font-size:12.5px}
table.stack td.empty{display:none}
table.stack td.say{min-width:0}table.stack td.say::before{content:none}
dl.facts2{grid-template-columns:minmax(0,1fr);gap:0}dl.facts2 dd{margin-bottom:8px}}
@media print{:root{--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--accent:#1f5fbf;--ok:#0f6b45;--bad:#b3261e;--warn:#7a5200}
body{font-size:11pt}.page{max-width:none;padding:0}nav,.skip,.screen{display:none}h2,h3,h4,summary{break-after:avoid}
details::details-content{content-visibility:visible!important;height:auto!important;block-size:auto!important}
.verdict,.tile,.todo li,figure,tr{break-inside:avoid}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
