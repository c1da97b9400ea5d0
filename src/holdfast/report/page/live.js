"use strict";
// Reloads the page when the run has written something new, for as long as the reader follows it.
(() => {
  const follow = document.getElementById("follow");
  const state = document.getElementById("state");
  let seen = null;

  async function look() {
    try {
      const answer = await fetch(document.body.dataset.live, { cache: "no-store" });
      const now = await answer.text();
      if (seen !== null && now !== seen && follow.checked) location.reload();
      seen = follow.checked ? now : seen;
      state.textContent = "";
    } catch {
      state.textContent = "The server has ended; this page stays as it is.";
    }
    setTimeout(look, 2000);
  }

  look();
})();
