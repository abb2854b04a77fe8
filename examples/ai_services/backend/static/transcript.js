// Plays the film from the segment whose time is clicked.
"use strict";

document.querySelectorAll("[data-start]").forEach((link) =>
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const film = document.querySelector("video");
    film.currentTime = Number(link.dataset.start);
    film.play();
  }),
);
