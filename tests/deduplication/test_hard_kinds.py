"""What looks alike and is two events, and what looks different and is one: small days as several sources list them.

Each case is a list of listings `(source, title, start, venue)` and how they belong together, as letters in the same order.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta

import pytest

from ingestion_assets.events.deduplication.explain import explain
from ingestion_assets.events.deduplication.records import Record
from ingestion_assets.events.deduplication.resolve import resolve

DAY = "2026-04-18"
Listing = tuple[str, str, str, str]

APART: dict[str, tuple[list[Listing], str]] = {
    "two workshops of a conference with a coined name": (
        [
            ("a", "YojunExpo 2026 : atelier .NET", "09:00", "Hôtel Fafard"),
            ("b", "Atelier préconférence YojunExpo 2026 : React", "09:00", "Hôtel Fafard"),
        ],
        "xy",
    ),
    "guided tours of every half hour": (
        [
            ("a", "Visite guidée", "10:00", "Musée McCord"),
            ("b", "Guided Tour", "10:30", "McCord Museum"),
            ("c", "Visite guidée", "11:00", "Musée McCord"),
        ],
        "xyz",
    ),
    "guided tours that name their hours": (
        [
            ("a", "Visite du jardin (13 h)", "13:00", "Jardin botanique"),
            ("b", "Garden Tour – 1:30 PM", "13:30", "Jardin botanique"),
        ],
        "xy",
    ),
    "a festival and its first day": (
        [
            ("a", "Festival Marée Haute", "12:00", "Parc Jean-Drapeau"),
            ("b", "Festival Marée Haute – Saturday Pass", "12:00", "Parc Jean-Drapeau"),
        ],
        "xy",
    ),
    "two levels of a language": (
        [("a", "Portuguese Class (A1)", "18:00", "Café Pohl"), ("b", "Portuguese Class, B1", "18:00", "Café Pohl")],
        "xy",
    ),
    "a course for all and one for experts": (
        [
            ("a", "Craft Beer Workshop – all levels", "18:00", "Café Pohl"),
            ("b", "Craft Beer Workshop, Experts", "18:00", "Café Pohl"),
        ],
        "xy",
    ),
    "two ages as teams have them": (
        [
            ("a", "Soirée jeux de société (U11)", "18:00", "Centre Girard"),
            ("b", "U15: Soirée jeux de société", "18:00", "Centre Girard"),
        ],
        "xy",
    ),
    "two sessions of a conference in one hour": (
        [
            ("a", "Atelier préconférence Nythi Summit 2026 : React", "09:00", "Glacier Coworking"),
            ("b", "Atelier préconférence Nythi Summit 2026 : OWASP", "09:00", "Glacier Coworking"),
        ],
        "xy",
    ),
    "two cinemas that are called by a sort of place": (
        [
            ("a", "Projection : Le miroir brisé", "21:00", "Cinéma du Parc"),
            ("b", "Projection : Le miroir brisé", "21:00", "Cinéma du Musée"),
        ],
        "xy",
    ),
    "the camping beside a concert": (
        [("a", "Camping for Ghost Ferry", "20:00", "MTELUS"), ("b", "Ghost Ferry", "20:00", "MTELUS")],
        "xy",
    ),
    "a concert and the upgrade of its ticket": (
        [("a", "Ticket Upgrade for Ghost Ferry", "20:00", "MTELUS"), ("b", "Ghost Ferry", "20:00", "MTELUS")],
        "xy",
    ),
    "matinee and evening": (
        [
            ("a", "La Mouette", "14:00", "Théâtre Prospero"),
            ("b", "The Seagull", "14:00", "Prospero Theatre"),
            ("a", "La Mouette", "20:00", "Théâtre Prospero"),
            ("c", "LA MOUETTE", "20:00", "Prospero"),
        ],
        "xxyy",
    ),
    "a matinee as far from its evening as UTC is from here": (
        [
            ("a", "Orphée", "15:00", "Usine C"),
            ("a", "Orphée", "19:00", "Usine C"),
            ("b", "Orphée", "19:00", "Usine C"),
        ],
        "xyy",
    ),
    "two showings as far apart, each borne out by two": (
        [
            ("a", "Orphée", "15:00", "Usine C"),
            ("b", "Orphée", "15:00", "Usine C"),
            ("c", "Orphée", "19:00", "Usine C"),
            ("d", "Orphée", "19:00", "Usine C"),
        ],
        "xxyy",
    ),
    "two talks on the net": (
        [
            ("a", "Virtual Panel on sustainable mobility with Philippe Tanaka", "12:00", "Zoom"),
            ("b", "Table ronde virtuelle sur la mobilité durable, en compagnie de Philippe Tanaka", "12:00", "En ligne"),
            ("c", "Virtual Panel on baroque music with Mateo Patel", "12:00", "Online"),
        ],
        "xxy",
    ),
    "a show and a seat in a loge": (
        [
            ("a", "Ghost Ferry – Rentrée", "21:00", "CEPSUM"),
            ("b", "Ghost Ferry – Rentrée – Accès loge", "21:00", "CEPSUM"),
        ],
        "xy",
    ),
    "two rooms of one house": (
        [
            ("a", "Vertigo", "19:30", "Cinéma Beaubien – Salle 3"),
            ("b", "Vertigo (version restaurée)", "19:30", "Salle 7 (Cinéma Beaubien)"),
        ],
        "xy",
    ),
    "a matinee without a time and an evening without a label": (
        [
            ("a", "Le Lac des cygnes (matinée)", "", "Place des Arts"),
            ("b", "LE LAC DES CYGNES", "20:00", "Place des Arts"),
        ],
        "xy",
    ),
    "two items of one series": (
        [
            ("a", "Série Découverte : Survivre à un manteau", "20:00", "Maison de la culture Lussier"),
            ("b", "Série Découverte : Avant l'orage", "20:00", "Maison Lussier"),
        ],
        "xy",
    ),
    "labelled showings without a time": (
        [
            ("a", "Casse-Noisette (matinée)", "", "Place des Arts"),
            ("b", "The Nutcracker - Evening Performance", "", "Place des Arts"),
        ],
        "xy",
    ),
    "early and late show": (
        [
            ("a", "Mira Solheim - Early Show", "19:00", "Upstairs"),
            ("b", "Mira Solheim (late show)", "21:30", "Upstairs Jazz Bar"),
        ],
        "xy",
    ),
    "parts of a course": (
        [
            ("a", "Initiation à la reliure - séance 1", "13:00", "Atelier du Mile-Ex"),
            ("b", "Initiation à la reliure, séance 2", "13:00", "Atelier du Mile-Ex"),
        ],
        "xy",
    ),
    "two films of a series": (
        [
            ("a", "Retour en arrière II", "21:00", "Ciné-parc Saint-Hilaire"),
            ("b", "Retour en arrière III", "21:00", "Ciné-parc Saint-Hilaire"),
        ],
        "xy",
    ),
    "children and adults": (
        [
            ("a", "Atelier de magie pour enfants", "13:00", "Bibliothèque de Verdun"),
            ("b", "Atelier de magie pour adultes", "13:00", "Bibliothèque de Verdun"),
        ],
        "xy",
    ),
    "two things sold beside one show": (
        [
            ("a", "Parking Pass: Ghost Ferry", "20:00", "Centre Bell"),
            ("b", "Ghost Ferry - VIP Package", "20:00", "Centre Bell"),
            ("c", "Ghost Ferry (Private Suite)", "20:00", "Centre Bell"),
            ("d", "Ghost Ferry", "20:00", "Centre Bell"),
        ],
        "wxyz",
    ),
    "beginners and the others": (
        [
            ("a", "Laboratoire de gravure - débutants", "09:30", "Studio B"),
            ("b", "Laboratoire de gravure – niveau intermédiaire", "09:30", "Studio B"),
        ],
        "xy",
    ),
    "two levels of one introduction": (
        [
            ("a", "Initiation à la gravure - niveau 1", "13:00", "Studio Zénith"),
            ("b", "Initiation à la gravure, niveau 2", "13:00", "Studio Zénith"),
        ],
        "xy",
    ),
    "two parts of one level": (
        [
            ("a", "Gravure, niveau 5, séance 1", "13:00", "Studio Zénith"),
            ("b", "Gravure, niveau 5, séance 2", "13:00", "Studio Zénith"),
        ],
        "xy",
    ),
    "two groups of one workshop": (
        [
            ("a", "Atelier de macramé (groupe C)", "10:00", "Bibliothèque Benny"),
            ("b", "Macramé Workshop - Group D", "10:00", "Benny Library"),
        ],
        "xy",
    ),
    "an hour in the title and another start": (
        [("a", "Pinocchio à 11 h", "", "Théâtre Outremont"), ("b", "Pinocchio", "14:00", "Théâtre Outremont")],
        "xy",
    ),
    "two games before one season": (
        [
            ("a", "Preseason: Lions vs. Comets", "19:00", "Aréna Verdun"),
            ("b", "Preseason: Lions vs. Herons", "19:00", "Aréna Verdun"),
        ],
        "xy",
    ),
    "one story time in two libraries": (
        [
            ("a", "Bébés lecteurs", "14:00", "Bibliothèque Pélican"),
            ("b", "Bébés lecteurs", "14:00", "Bibliothèque Strathcona"),
        ],
        "xy",
    ),
    "one film in two houses of a chain": (
        [("a", "Le phare", "19:00", "Cinéma Ondine Verdun"), ("b", "Le phare", "19:00", "Ondine Cinema Lachine")],
        "xy",
    ),
    "a tribute that says who plays": (
        [("a", "The Gravel plays Ghost Ferry", "20:00", "Club Soda"), ("b", "Ghost Ferry", "20:00", "Club Soda")],
        "xy",
    ),
    "a name in French and another title": (
        [
            ("a", "Pearl Poulin en rodage", "21:00", "Théâtre Outremont"),
            ("b", "Comedy Night with Étienne Villeneuve", "21:00", "Outremont Theatre"),
        ],
        "xy",
    ),
    "everybody and teens": (
        [
            ("a", "Écriture slam", "18:00", "Maison de la culture"),
            ("b", "Écriture slam pour ados", "18:00", "Maison de la culture"),
        ],
        "xy",
    ),
    "an act and its homage": (
        [
            ("a", "Ghost Ferry", "20:00", "MTELUS"),
            ("b", "Hommage à Ghost Ferry", "20:00", "MTELUS"),
            ("c", "Ghost Ferry Tribute", "20:00", "M Telus"),
        ],
        "xyy",
    ),
    "a concert and its parking": (
        [("a", "Ghost Ferry", "20:00", "Centre Bell"), ("a", "Ghost Ferry - Stationnement", "20:00", "Centre Bell")],
        "xy",
    ),
    "a concert and the car park it names as its place": (
        [("a", "Ghost Ferry", "20:00", "Stade Barfly"), ("b", "Ghost Ferry - Parking", "20:00", "Parking Stade Barfly")],
        "xy",
    ),
    "a play and its box, in two languages": (
        [
            ("a", "Ghost Village", "20:00", "Théâtre Outremont"),
            ("b", "Loges : Village fantôme", "20:00", "Théâtre Outremont"),
        ],
        "xy",
    ),
    "all of it, by its title, and its first day": (
        [
            ("a", "Marée Haute : 3 jours", "12:00", "Parc Jean-Drapeau"),
            ("b", "Marée Haute - samedi", "12:00", "Parc Jean-Drapeau"),
        ],
        "xy",
    ),
    "a concert and its package": (
        [("a", "Ghost Ferry", "20:00", "Centre Bell"), ("b", "Ghost Ferry – VIP Package", "20:00", "Bell Centre")],
        "xy",
    ),
    "a festival and its evenings": (
        [
            ("a", "Festival Marée Haute", "12:00", "Parc Jean-Drapeau"),
            ("b", "Festival Marée Haute : Ghost Ferry", "19:00", "Parc Jean-Drapeau"),
            ("c", "Festival Marée Haute : Mira Solheim", "19:00", "Parc Jean-Drapeau"),
        ],
        "xyz",
    ),
    "one frame, two guests, two languages": (
        [
            ("a", "Comedy Night with Karim Ouldali", "20:00", "Le Bordel"),
            ("b", "Soirée d'humour avec Tamsin Bly", "20:00", "Le Bordel"),
        ],
        "xy",
    ),
    "two bands that share a word": (
        [("a", "Silver Magnets", "21:00", "Casa del Popolo"), ("b", "Paper Magnets", "21:00", "Casa del Popolo")],
        "xy",
    ),
    "two bands of two languages": (
        [("a", "Rivière Noire", "20:00", "Club Soda"), ("b", "The Hollow Pines", "20:00", "Club Soda")],
        "xy",
    ),
    "common words in two parks": (
        [("a", "Yoga au parc", "09:00", "Parc Jarry"), ("b", "Yoga in the Park", "09:00", "Parc La Fontaine")],
        "xy",
    ),
    "two matches of one team": (
        [
            ("a", "Alouettes vs Argonauts", "19:00", "Stade Molson"),
            ("b", "ALOUETTES VS TIGER-CATS", "19:00", "Stade Molson"),
        ],
        "xy",
    ),
    "one activity in two libraries": (
        [
            ("a", "Heure du conte", "10:30", "Bibliothèque Marie-Uguay"),
            ("b", "Story Time", "10:30", "Robert-Bourassa Library"),
        ],
        "xy",
    ),
    "a show and the talk before it": (
        [("a", "Antigone", "20:00", "TNM"), ("b", "Antigone : causerie", "18:30", "Théâtre du Nouveau Monde")],
        "xy",
    ),
    "pottery and watercolour, each in its language": (
        [("a", "Poterie au parc", "13:00", "Parc Jarry"), ("b", "Watercolour in the Park", "13:00", "Parc Jarry")],
        "xy",
    ),
    "one series of evenings, two guests": (
        [
            ("a", "Jeudi jazz : Béatrice Thériault", "20:00", "Upstairs"),
            ("b", "Jeudi jazz : Priya Nadeau", "20:00", "Upstairs"),
        ],
        "xy",
    ),
    "two games of one team, told by a dash": (
        [("a", "Comets - Kites", "19:00", "Aréna Raymond"), ("b", "Comets - Rivers", "19:00", "Aréna Raymond")],
        "xy",
    ),
    "two singers of one family name, one misspelt": (
        [("a", "Philémon Elllsworth", "20:00", "Quai des Brumes"), ("b", "Simone Ellsworth", "20:00", "Quai des Brumes")],
        "xy",
    ),
    "two groups of one age range and another": (
        [
            ("a", "Atelier de magie (6-12 ans)", "13:00", "Bibliothèque de Verdun"),
            ("b", "Magic workshop (ages 13 to 17)", "13:00", "Bibliothèque de Verdun"),
        ],
        "xy",
    ),
    "a date without a time between a matinee and an evening": (
        [
            ("a", "La Mouette", "14:00", "Théâtre Prospero"),
            ("b", "LA MOUETTE", "20:00", "Prospero Theatre"),
            ("c", "La Mouette", "", "Théâtre Prospero"),
        ],
        "xyz",
    ),
    "a title without a part between two parts": (
        [
            ("a", "Club de tango - épisode 1", "19:00", "Maison de la culture"),
            ("b", "Tango Club (Episode 2)", "19:00", "Maison de la culture"),
            ("c", "Tango Club", "19:00", "Maison de la culture"),
        ],
        "xyz",
    ),
    "two classes of one studio": (
        [("a", "Salsa Class", "18:00", "Studio Lumière"), ("b", "Bachata Class", "18:00", "Studio Lumière")],
        "xy",
    ),
}  # fmt: skip

TOGETHER: dict[str, tuple[list[Listing], str]] = {
    "a show with hashtags behind it": (
        [
            ("a", "Ghost Ferry #family #free", "20:00", "MTELUS"),
            ("b", "Ghost Ferry", "20:00", "MTELUS"),
        ],
        "xx",
    ),
    "a festival by a package of its days": (
        [
            ("a", "Mondial des Marionnettes", "12:00", "Quai Benny"),
            ("b", "Mondial des Marionnettes – Forfait 4 jours", "12:00", "Quai Benny"),
        ],
        "xx",
    ),
    "a presenter who has children in its name": (
        [
            ("a", "Jeunesses du Quartier presents: Exploring Improv – Session 3", "13:30", "Centre Humber"),
            ("b", "Exploring Improv, session 3 of 3", "13:30", "Centre Humber"),
        ],
        "xx",
    ),
    "a level that one source leaves out, where nothing else is on": (
        [
            ("a", "Discover Japanese ceramics (Level 2)", "11:30", "Café Talgalmo"),
            ("b", "Discover Japanese ceramics", "11:30", "Café Talgalmo"),
        ],
        "xx",
    ),
    "a festival's day by its pass": (
        [
            ("a", "Saturday Pass: Marée Haute Festival", "12:00", "Parc Jean-Drapeau"),
            ("b", "Festival Marée Haute – billet 1 jour, samedi", "12:00", "Parc Jean-Drapeau"),
        ],
        "xx",
    ),
    "a festival by its pass": (
        [
            ("a", "Festival Marée Haute – passeport 3 jours", "12:00", "Parc Jean-Drapeau"),
            ("b", "Marée Haute Festival", "12:00", "Parc Jean-Drapeau"),
        ],
        "xx",
    ),
    "a night with somebody, and who it is": (
        [
            ("a", "Soirée country avec MC Bexdyka", "20:30", "Maison de la culture Verdun"),
            ("b", "MC Bexdyka – spectacle intime", "20:30", "Maison de la culture Verdun"),
        ],
        "xx",
    ),
    "a night of a series, and who plays there": (
        [
            ("a", "Nuit Galdy w/ Talmei", "23:00", "Club Soda"),
            ("b", "Talmei [techno]", "23:00", "Club Soda"),
        ],
        "xx",
    ),
    "a play by its author and by its company": (
        [
            ("a", "The Cold Beach by Maeve Beaulieu", "20:00", "Usine C"),
            ("b", "The Cold Beach – Neava Collective", "20:00", "Usine C"),
            ("c", "Maeve Beaulieu's The Cold Beach", "20:00", "Usine C"),
        ],
        "xxx",
    ),
    "a course and who holds it": (
        [
            ("a", "Archery Basics hosted by Thiago Simard", "18:30", "Rosemont Community Centre"),
            ("b", "Archery Basics", "18:30", "Rosemont Community Centre"),
        ],
        "xx",
    ),
    "a conference of two days": (
        [
            ("a", "Nythi Summit: two-day conference", "09:00", "Glacier Coworking"),
            ("b", "Nythi Summit", "09:00", "Glacier Coworking"),
        ],
        "xx",
    ),
    "a room that is numbered in one listing and lettered in the next": (
        [("a", "Vertigo", "19:30", "Cinéma Beaubien – Salle 3"), ("b", "Vertigo", "19:30", "Cinéma Beaubien, salle B")],
        "xx",
    ),
    "one game with its season, and with what its arena was called": (
        [
            ("a", "2026-27 Season: Toronto Raptors vs. Boston Celtics", "19:00", "Scotiabank Arena"),
            ("b", "Toronto Raptors vs. Boston Celtics @ Air Canada Centre (ACC)", "19:00", "Scotiabank Arena"),
        ],
        "xx",
    ),
    "who plays, and what is played": (
        [
            ("a", "Orchestre Métropolitain joue Le Sacre du printemps", "15:00", "Église Saint-Clément"),
            ("b", "Le Sacre du printemps", "15:00", "Saint-Clément Church"),
        ],
        "xx",
    ),
    "one subject in the words of two editors": (
        [
            ("a", "Conférence : la musique baroque", "19:00", "Bibliothèque de Verdun"),
            ("b", "Écouter le baroque", "19:00", "Verdun Library"),
        ],
        "xx",
    ),
    "one number in the words of two editors": (
        [
            ("a", "Café linguistique français-anglais, no 18", "18:00", "Bibliothèque de Verdun"),
            ("b", "French-English Conversation Exchange, #18", "18:00", "Verdun Library"),
        ],
        "xx",
    ),
    "doors and show": (
        [("a", "Ghost Ferry", "19:00", "Club Soda"), ("b", "Ghost Ferry", "20:00", "Club Soda")],
        "xx",
    ),
    "an evening stored as UTC": (
        [("a", "Ghost Ferry", "20:30", "Club Soda"), ("b", "Ghost Ferry", "2026-04-19T00:30", "Club Soda")],
        "xx",
    ),
    "a date without a time": (
        [("a", "Ghost Ferry", "20:00", "Club Soda"), ("b", "GHOST FERRY (complet)", "", "Club Soda")],
        "xx",
    ),
    "four sources, four styles": (
        [
            ("a", "Ghost Ferry with Low Tide Cinema", "20:00", "Théâtre Corona"),
            ("b", "Evenko présente Ghost Ferry", "20:00", "Corona"),
            ("c", "GHOST FERRY - World Tour", "19:30", "Corona Theatre"),
            ("d", "Ghost Ferry @ Théâtre Corona", "20:00", "Théâtre Corona (Montréal)"),
        ],
        "xxxx",
    ),
    "both languages in one title": (
        [
            ("a", "Heure du conte / Story Time", "10:30", "Bibliothèque de Verdun"),
            ("b", "Story Time", "10:30", "Verdun Library"),
            ("c", "Heure du conte", "10:30", "Bibliothèque de Verdun"),
        ],
        "xxx",
    ),
    "a title cut off": (
        [
            ("a", "Orchestre symphonique de la Vallée : Les Planètes", "19:30", "Salle Bourgie"),
            ("b", "Orchestre symphonique de la Vallée : Les Pla…", "19:30", "Bourgie Hall"),
        ],
        "xx",
    ),
    "the same matinee in two languages": (
        [
            ("a", "Casse-Noisette - matinée", "14:00", "Place des Arts"),
            ("b", "The Nutcracker (Matinee)", "14:00", "Place des Arts"),
        ],
        "xx",
    ),
    "a known word misspelt": (
        [("a", "The Shadow of the WWolves", "20:00", "Usine C"), ("b", "The Shadow of the Wolves", "20:00", "Usine C")],
        "xx",
    ),
    "a part whose clock is shifted by day": (
        [
            ("a", "Histoire de l'art, partie 2", "14:00", "Musée McCord"),
            ("b", "Histoire de l'art, partie 2", "18:00", "Musée McCord"),
        ],
        "xx",
    ),
    "a concert shifted late into the evening": (
        [("a", "Ghost Ferry", "19:00", "Club Soda"), ("b", "Ghost Ferry", "23:00", "Club Soda")],
        "xx",
    ),
    "a clock that is off by exactly the offset, earlier": (
        [
            ("a", "Ghost Ferry", "19:00", "Club Soda"),
            ("b", "Ghost Ferry", "15:00", "Club Soda"),
            ("c", "Ghost Ferry", "19:00", "Club Soda"),
        ],
        "xxx",
    ),
    "a webinar told in two ways": (
        [("a", "Webinaire : le budget familial", "12:00", "En ligne"), ("b", "Le budget familial", "12:00", "Zoom")],
        "xx",
    ),
    "a recital in two orders": (
        [
            ("a", "Rosa Lind joue Satie", "15:00", "Salle Bourgie"),
            ("b", "Satie : Gymnopédies – Rosa Lind, piano", "15:00", "Bourgie Hall"),
        ],
        "xx",
    ),
    "a show that moves": (
        [
            ("a", "Ghost Ferry (CHANGEMENT DE SALLE)", "20:00", "Théâtre Fairmount"),
            ("b", "Ghost Ferry", "20:00", "Club Soda"),
        ],
        "xx",
    ),
    "a session counted under another name": (
        [
            ("a", "La parentalité, séance 3", "19:00", "Bibliothèque Rosemont"),
            ("b", "La parentalité - 3 de 4", "19:00", "Rosemont Library"),
        ],
        "xx",
    ),
    "a play for young people": (
        [
            ("a", "Le rêve énorme – théâtre jeunesse", "10:30", "Maison de la culture Verdun"),
            ("b", "Le rêve énorme", "10:30", "MDC Verdun"),
        ],
        "xx",
    ),
    "a game told from either side": (
        [
            ("a", "Lions de Verdun c. Comets de Laval", "19:00", "Aréna Verdun"),
            ("b", "NHL: Laval Comets vs. Verdun Lions", "19:00", "Verdun Arena"),
        ],
        "xx",
    ),
    "a session that goes with the clock of the other listing": (
        [("a", "Orphée (soirée)", "", "Usine C"), ("b", "Orphée", "20:00", "Usine C")],
        "xx",
    ),
    "a festival's day by its number and by its name": (
        [
            ("a", "Marée Haute - jour 1", "12:00", "Parc Jean-Drapeau"),
            ("b", "Marée Haute - Saturday lineup", "12:00", "Parc Jean-Drapeau"),
        ],
        "xx",
    ),
    "a show on the page for families": (
        [
            ("a", "Famille : Le Clown Jérémie", "", "Bibliothèque Benny"),
            ("b", "Le Clown Jérémie", "10:30", "Bibliothèque Benny"),
        ],
        "xx",
    ),
    "a level by its number and by its name": (
        [
            ("a", "Cours de céramique, niveau 2", "18:00", "Atelier du Mile-Ex"),
            ("b", "Ceramics Class - Intermediate", "18:00", "Atelier du Mile-Ex"),
        ],
        "xx",
    ),
    "an act and the name of its tour": (
        [
            ("a", "Ghost Ferry - The Long Way Home Tour", "20:00", "MTELUS"),
            ("b", "Ghost Ferry", "20:00", "MTELUS"),
        ],
        "xx",
    ),
    "a night of poems": (
        [("a", "Soirée poésie", "20:00", "Café Cléopâtre"), ("b", "Poetry Night", "20:00", "Café Cléopâtre")],
        "xx",
    ),
    "the same part": (
        [
            ("a", "Histoire de l'art, partie 2", "13:00", "Musée McCord"),
            ("b", "Art History, Part 2", "13:00", "McCord Museum"),
        ],
        "xx",
    ),
    "a hall with a room": (
        [
            ("a", "Ghost Ferry", "20:00", "Place des Arts - Théâtre Maisonneuve"),
            ("b", "Ghost Ferry", "20:00", "Théâtre Maisonneuve"),
        ],
        "xx",
    ),
}


def records(listings: list[Listing]) -> list[Record]:
    result = []
    for number, (source, title, start, venue) in enumerate(listings):
        day, _, clock = start.rpartition("T")
        result.append(
            Record(
                source=source,
                source_id=str(number),
                title=title,
                local_date=date.fromisoformat(day or DAY),
                local_time=time.fromisoformat(clock) if clock else None,
                zone="America/Toronto",
                venue_name=venue,
                city="Montréal",
            )
        )
    return result


def grouping(listings: list[Listing]) -> set[frozenset[int]]:
    clusters = resolve(records(listings)).clusters
    return {frozenset(int(key.source_id) for key in cluster.members) for cluster in clusters}


def wanted(letters: str) -> set[frozenset[int]]:
    return {frozenset(i for i, letter in enumerate(letters) if letter == one) for one in set(letters)}


@pytest.mark.parametrize(("listings", "letters"), APART.values(), ids=APART.keys())
def test_what_is_two_events_stays_two(listings: list[Listing], letters: str) -> None:
    for group in grouping(listings):
        assert len({letters[i] for i in group}) == 1, [listings[i][1] for i in group]


@pytest.mark.parametrize(
    ("day", "lasts", "one"),
    [
        ("Marée Haute", 3, True),  # the source that names no end may mean the same
        ("Marée Haute - Day 1", 3, False),
        ("Marée Haute – Saturday Single-Day Ticket", 3, False),
        ("Marée Haute | Sat. Apr 18", 3, False),
        ("Marée Haute (18 - 21 avril)", 3, True),
        ("Marée Haute - samedi", 1, False),
        ("Marée Haute, 18 avril", 1, False),
        ("Marée Haute - samedi", 0, True),
    ],
)
def test_a_day_is_not_what_lasts_for_days(day: str, lasts: int, one: bool) -> None:
    whole, part = records([("a", "Marée Haute", "12:00", "Club Soda"), ("b", day, "12:00", "Club Soda")])
    whole = replace(whole, end_date=whole.local_date + timedelta(days=lasts))
    assert len(resolve([whole, part]).clusters) == (1 if one else 2)


@pytest.mark.parametrize(
    ("title", "start", "lasts", "one"),
    [
        ("L'Avare", "20:00", 9, False),
        ("L'Avare", "20:00", 0, True),
        ("Portraits du Nord", "10:00", 60, True),  # an exhibition
        ("Festival Marée Haute", "18:00", 3, True),
    ],
)
def test_a_run_of_evenings_is_not_one_of_them(title: str, start: str, lasts: int, one: bool) -> None:
    run, show = records([("a", title, start, "Théâtre Prospero"), ("b", title, start, "Théâtre Prospero")])
    run = replace(run, end_date=run.local_date + timedelta(days=lasts))
    assert len(resolve([run, show]).clusters) == (1 if one else 2)


@pytest.mark.parametrize(("start", "level"), [("19:00", "none"), ("18:00", "one_side")])
def test_a_talk_is_beside_what_begins_at_another_time(start: str, level: str) -> None:
    listings = [("a", "Quebec Comics", "19:00", "Prospero"), ("b", "Lecture: Quebec Comics", start, "Prospero")]
    one, two = records(listings)
    levels = {part.feature: part.level for part in explain(one.key, two.key, [one, two]).first}
    assert levels.get("beside", "none") == level


def test_an_exhibition_may_lack_its_end() -> None:
    shown, listed = records(
        [("a", "Jouets d'antan", "", "Musée McCord"), ("b", "Jouets d'antan : exposition", "", "Musée McCord")]
    )
    shown = replace(shown, end_date=shown.local_date + timedelta(days=60))
    assert len(resolve([shown, listed]).clusters) == 1


@pytest.mark.parametrize(("listings", "letters"), TOGETHER.values(), ids=TOGETHER.keys())
def test_what_is_one_event_becomes_one(listings: list[Listing], letters: str) -> None:
    assert grouping(listings) == wanted(letters)


@pytest.mark.parametrize(
    ("one", "two", "together"),
    [
        ("ville:17@outlook.example", "salle:4@outlook.example", True),
        ("ville:17", "ville:4", False),
        ("17@ville.example", "4@salle.example", True),
        ("17@ville.example", "4@ville.example#20260418", False),
        ("17", "4", False),
    ],
)
def test_a_calendar_lists_one_show_once_and_the_next_calendar_lists_it_too(one: str, two: str, together: bool) -> None:
    """Both are of the source `ics`. Two starts in one calendar are two showings, in two of them doors and show."""
    doors, show = records([("ics", "L'Avare", "19:30", "Prospero"), ("ics", "L'Avare", "20:00", "Théâtre Prospero")])
    listed = [replace(doors, source_id=one), replace(show, source_id=two)]
    assert len(resolve(listed).clusters) == (1 if together else 2)
