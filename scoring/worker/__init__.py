"""The Faust application and what runs next to the engine: resolutions, outcomes, health, supervision."""
