"use strict";
// The live console: panels come as HTML in numbered messages; ages are counted here.
document.addEventListener("DOMContentLoaded", () => {
  const root = document.getElementById("console");
  if (!root) return;
  const link = root.querySelector("[data-role=link]");
  const linkText = root.querySelector("[data-role=link-text]");
  let sequence = 0;
  let wait = 500;
  let clockOffset = Date.parse(root.dataset.at) - Date.now();

  const show = (state, text) => { link.dataset.state = state; linkText.textContent = text; };

  const age = (milliseconds) => {
    const seconds = Math.max(0, milliseconds / 1000);
    if (seconds < 10) return `${seconds.toFixed(1)} s`;
    if (seconds < 120) return `${Math.round(seconds)} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    return `${Math.round(seconds / 3600)} h`;
  };

  const countAges = () => {
    const now = Date.now() + clockOffset;
    for (const element of root.querySelectorAll("time[data-at]")) {
      element.textContent = age(now - Date.parse(element.dataset.at));
      element.title = element.dataset.at;
    }
  };

  const receive = (socket, message) => {
    clockOffset = Date.parse(message.at) - Date.now();
    if (sequence && message.sequence !== sequence + 1) socket.send(JSON.stringify({ refetch: true }));
    sequence = message.sequence;
    for (const [topic, html] of Object.entries(message.panels)) {
      const panel = root.querySelector(`[data-panel="${topic}"]`);
      if (panel) panel.innerHTML = html;
    }
    countAges();
  };

  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${root.dataset.socket}`);
    socket.onopen = () => { sequence = 0; wait = 500; show("live", root.dataset.live); };
    socket.onmessage = (event) => receive(socket, JSON.parse(event.data));
    socket.onclose = (event) => {
      if (event.code === 4401 || event.code === 4403) { show("out", root.dataset.out); return; }
      show("lost", root.dataset.lost);
      setTimeout(connect, wait + Math.random() * 500);
      wait = Math.min(wait * 2, 15000);
    };
  };

  countAges();
  setInterval(countAges, 250);
  connect();
});
